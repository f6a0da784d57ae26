using System.IO.Compression;

namespace Penstock.Cli.Replay;

/// <summary>Opens files of a recording, packed with gzip or not, whatever they are called.</summary>
internal static class RecordingFile
{
    private const int BufferSize = 1 << 16;
    private const byte GzipMagic0 = 0x1f;
    private const byte GzipMagic1 = 0x8b;

    public static Stream Open(string path)
    {
        FileStream file = OpenRaw(path);
        try
        {
            if (!file.CanSeek)
            {
                throw new UsageException($"'{path}' is a pipe or a device; put the recording into a file");
            }

            Span<byte> magic = stackalloc byte[2];
            bool packed = file.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false) == magic.Length
                && magic[0] == GzipMagic0 && magic[1] == GzipMagic1;
            file.Position = 0;
            return packed ? new BufferedStream(new GZipStream(new SmallReads(file), CompressionMode.Decompress), BufferSize) : file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Fills a buffer; less only at the end of the file.</summary>
    public static int Read(Stream stream, Span<byte> buffer, string path)
    {
        try
        {
            int read = stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
            return read < buffer.Length && stream is BufferedStream { UnderlyingStream: GZipStream { BaseStream: SmallReads packed } } && packed.HasMore()
                ? throw new InvalidDataException("something else follows what is packed")
                : read;
        }
        catch (InvalidDataException broken)
        {
            throw new ReplayFailure($"'{path}' is not a whole gzip file ({broken.Message.TrimEnd('.')}); copy or record it again");
        }
    }

    private static FileStream OpenRaw(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, BufferSize, FileOptions.SequentialScan);
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new UsageException($"there is no file '{path}'; name LABEL.json (with LABEL.tables.gz beside it) or LABEL.calls.txt.gz");
        }
        catch (UnauthorizedAccessException) when (Directory.Exists(path))
        {
            throw new UsageException($"'{path}' is a folder; name a file in it, LABEL.json or LABEL.calls.txt.gz");
        }
    }
}
