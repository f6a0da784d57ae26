namespace Penstock.Cli.Replay;

/// <summary>Lines of a file, one at a time, in a buffer that does not grow with the file.</summary>
internal sealed class RecordedLines(string path) : IDisposable
{
    private const int LongestLine = 1 << 17;

    private readonly Stream _stream = RecordingFile.Open(path);
    private readonly byte[] _buffer = new byte[LongestLine];
    private int _from;
    private int _filled;
    private bool _ended;

    /// <summary>Number of the line that was read last, from 1.</summary>
    public long Number { get; private set; }

    public void Dispose() => _stream.Dispose();

    /// <summary>Reads a line without its end; it is valid until the next one.</summary>
    public bool TryRead(out ReadOnlySpan<byte> line)
    {
        while (true)
        {
            ReadOnlySpan<byte> rest = _buffer.AsSpan(_from.._filled);
            int length = rest.IndexOf((byte)'\n');
            if (length < 0 && !_ended)
            {
                Fill();
                continue;
            }

            if (length < 0 && rest.IsEmpty)
            {
                line = default;
                return false;
            }

            line = length < 0 ? rest : rest[..length];
            _from += length < 0 ? rest.Length : length + 1;
            Number++;
            line = line.TrimEnd((byte)'\r');
            return true;
        }
    }

    /// <summary>What is wrong with the line that was read last. The reason may quote it: what a terminal would not show is taken out.</summary>
    public ReplayFailure Wrong(string reason) =>
        new($"'{path}', line {Number}: {new string([.. reason.Select(static c => char.IsControl(c) || c is > '~' and <= '\u00ff' ? '?' : c)])}");

    private void Fill()
    {
        _buffer.AsSpan(_from.._filled).CopyTo(_buffer);
        _filled -= _from;
        _from = 0;
        if (_filled == _buffer.Length)
        {
            Number++;
            throw Wrong($"it is longer than {LongestLine} bytes, so this is no recording of calls; name LABEL.json or LABEL.calls.txt.gz");
        }

        int read = RecordingFile.Read(_stream, _buffer.AsSpan(_filled), path);
        _ended = read < _buffer.Length - _filled;
        _filled += read;
    }
}
