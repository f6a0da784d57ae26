using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>The rig's memory as a peer that is asked by messages, as QEMU's is that shares no memory.</summary>
internal sealed class NvmeChannel(NvmeRig rig) : IDmaMessageChannel
{
    private int _messages;

    internal int Messages => Volatile.Read(ref _messages);

    /// <summary>Called in the middle of each message, with whether it writes and where.</summary>
    internal Action<bool, ulong>? Meanwhile { get; set; }

    public Errno Read(ulong iova, Span<byte> destination, DmaTransfer transfer)
    {
        Interlocked.Increment(ref _messages);
        Meanwhile?.Invoke(false, iova);
        if (transfer.IsCanceled)
        {
            return Errno.ECANCELED;
        }

        rig.At(iova, destination.Length).CopyTo(destination);
        return Errno.None;
    }

    public Errno Write(ulong iova, ReadOnlySpan<byte> source, DmaTransfer transfer)
    {
        Interlocked.Increment(ref _messages);
        Meanwhile?.Invoke(true, iova);
        if (transfer.IsCanceled)
        {
            return Errno.ECANCELED;
        }

        source.CopyTo(rig.At(iova, source.Length));
        return Errno.None;
    }

    public ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, DmaTransfer transfer, CancellationToken cancellation) =>
        new(Read(iova, destination.Span, transfer));

    public ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, DmaTransfer transfer, CancellationToken cancellation) =>
        new(Write(iova, source.Span, transfer));
}
