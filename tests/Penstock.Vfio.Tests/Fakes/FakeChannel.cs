using Penstock.Interop;

namespace Penstock.Vfio.Tests;

/// <summary>A user's memory behind messages. Each message can be held up by the test.</summary>
internal sealed class FakeChannel(ulong baseIova, int length) : IDmaMessageChannel
{
    public byte[] Bytes { get; } = new byte[length];

    public Action? BeforeAnswer { get; set; }

    public int Messages { get; private set; }

    public Errno Read(ulong iova, Span<byte> destination, DmaTransfer transfer)
    {
        Messages++;
        BeforeAnswer?.Invoke();
        Bytes.AsSpan((int)(iova - baseIova), destination.Length).CopyTo(destination);
        return Errno.None;
    }

    public Errno Write(ulong iova, ReadOnlySpan<byte> source, DmaTransfer transfer)
    {
        Messages++;
        BeforeAnswer?.Invoke();
        source.CopyTo(Bytes.AsSpan((int)(iova - baseIova)));
        return Errno.None;
    }

    public async ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, DmaTransfer transfer, CancellationToken cancellation)
    {
        await Task.Yield();
        return Read(iova, destination.Span, transfer);
    }

    public async ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, DmaTransfer transfer, CancellationToken cancellation)
    {
        await Task.Yield();
        return Write(iova, source.Span, transfer);
    }
}
