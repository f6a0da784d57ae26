using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>A peer that answers message DMA from an array, counts, and can be made to fail or to do something meanwhile.</summary>
internal sealed class FakeChannel(int size) : IDmaMessageChannel
{
    internal byte[] Memory { get; } = new byte[size];

    internal int Reads { get; private set; }

    internal int Writes { get; private set; }

    internal Errno Answer { get; set; }

    /// <summary>Called in the middle of each message.</summary>
    internal Action? Meanwhile { get; set; }

    public Errno Read(ulong iova, Span<byte> destination, DmaTransfer transfer)
    {
        Reads++;
        Meanwhile?.Invoke();
        Memory.AsSpan(0, destination.Length).CopyTo(destination);
        return Answer;
    }

    public Errno Write(ulong iova, ReadOnlySpan<byte> source, DmaTransfer transfer)
    {
        Writes++;
        Meanwhile?.Invoke();
        source.CopyTo(Memory);
        return Answer;
    }

    public ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, DmaTransfer transfer, CancellationToken cancellation) =>
        new(Read(iova, destination.Span, transfer));

    public ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, DmaTransfer transfer, CancellationToken cancellation) =>
        new(Write(iova, source.Span, transfer));
}
