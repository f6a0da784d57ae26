using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>Memory of a user that has no descriptor and is reached by messages to the user.</summary>
public sealed class MessageMemory : UserMemory
{
    private readonly IDmaMessageChannel _channel;
    private readonly ulong _iova;

    /// <summary>Creates the memory.</summary>
    /// <param name="channel">The way to the user.</param>
    /// <param name="iova">I/O address of offset 0.</param>
    /// <param name="length">Length in bytes.</param>
    public MessageMemory(IDmaMessageChannel channel, ulong iova, ulong length)
        : base(length, isCounted: false)
    {
        ArgumentNullException.ThrowIfNull(channel);
        _channel = channel;
        _iova = iova;
    }

    /// <inheritdoc/>
    public override bool NeedsMessages => true;

    /// <inheritdoc/>
    public override Errno Read(ulong offset, Span<byte> destination) =>
        Fits(offset, destination.Length) ? _channel.Read(_iova + offset, destination, default) : Errno.EFAULT;

    /// <inheritdoc/>
    public override Errno Write(ulong offset, ReadOnlySpan<byte> source) =>
        Fits(offset, source.Length) ? _channel.Write(_iova + offset, source, default) : Errno.EFAULT;

    /// <inheritdoc/>
    public override ValueTask<Errno> ReadAsync(ulong offset, Memory<byte> destination, CancellationToken cancellation = default) =>
        CopyAsync(offset, destination, DmaAccess.Read, default, cancellation);

    /// <inheritdoc/>
    public override ValueTask<Errno> WriteAsync(ulong offset, ReadOnlyMemory<byte> source, CancellationToken cancellation = default) =>
        Fits(offset, source.Length) ? _channel.WriteAsync(_iova + offset, source, default, cancellation) : new(Errno.EFAULT);

    internal override Errno Copy(ulong offset, Span<byte> data, DmaAccess access, DmaTransfer transfer) =>
        !Fits(offset, data.Length) ? Errno.EFAULT
        : access == DmaAccess.Read ? _channel.Read(_iova + offset, data, transfer)
        : _channel.Write(_iova + offset, data, transfer);

    internal override ValueTask<Errno> CopyAsync(
        ulong offset, Memory<byte> data, DmaAccess access, DmaTransfer transfer, CancellationToken cancellation) =>
        !Fits(offset, data.Length) ? new(Errno.EFAULT)
        : access == DmaAccess.Read ? _channel.ReadAsync(_iova + offset, data, transfer, cancellation)
        : _channel.WriteAsync(_iova + offset, data, transfer, cancellation);

    /// <inheritdoc/>
    protected override void Free()
    {
        // The user keeps what is his; nobody calls this, as nothing is counted.
    }

    private bool Fits(ulong offset, int length) => offset <= Length && (ulong)length <= Length - offset;
}
