using System.Buffers.Text;

namespace Penstock.Cli.Replay;

/// <summary>Lines of a replay, through one buffer. Numbers are bare lower-case hex.</summary>
internal sealed class ReplayOutput(Stream stream) : IDisposable
{
    private const int LongestLine = 128;

    private readonly byte[] _buffer = new byte[1 << 16];
    private int _filled;

    public void Dispose() => Flush();

    public void Page(ulong iova, ulong address, bool canWrite)
    {
        Begin();
        Hex(iova);
        Text(" "u8);
        Hex(address);
        Text(canWrite ? " rw\n"u8 : " r\n"u8);
    }

    public void Map(ulong iova, ulong length, ulong address, bool canWrite)
    {
        Begin();
        Text("M "u8);
        Hex(iova);
        Text(" "u8);
        Hex(length);
        Text(" "u8);
        Hex(address);
        Text(canWrite ? " rw\n"u8 : " r\n"u8);
    }

    public void Unmap(ulong iova, ulong length)
    {
        Begin();
        Text("U "u8);
        Hex(iova);
        Text(" "u8);
        Hex(length);
        Text("\n"u8);
    }

    public void Flush()
    {
        stream.Write(_buffer, 0, _filled);
        stream.Flush();
        _filled = 0;
    }

    private void Begin()
    {
        if (_buffer.Length - _filled < LongestLine)
        {
            Flush();
        }
    }

    private void Hex(ulong value)
    {
        Utf8Formatter.TryFormat(value, _buffer.AsSpan(_filled), out int written, 'x');
        _filled += written;
    }

    private void Text(ReadOnlySpan<byte> text)
    {
        text.CopyTo(_buffer.AsSpan(_filled));
        _filled += text.Length;
    }
}
