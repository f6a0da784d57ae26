namespace Penstock.Cli.Replay;

/// <summary>
/// A packed file, a few bytes at a time: who unpacks it then has taken no more than that from behind the end of what is packed, and what else is in the
/// file is still to be seen. The class library's reader says nothing of it.
/// </summary>
internal sealed class SmallReads(FileStream file) : Stream
{
    // Less than the shortest piece that a file can be packed in.
    private const int Most = 16;

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => false;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer) => file.Read(buffer[..Math.Min(buffer.Length, Most)]);

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <summary>Whether anything but zeroes, which fill up a tape's or disk's block, is left in the file.</summary>
    public bool HasMore()
    {
        while (true)
        {
            int next = file.ReadByte();
            if (next != 0)
            {
                return next > 0;
            }
        }
    }

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            file.Dispose();
        }

        base.Dispose(disposing);
    }
}
