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
        : base(length)
    {
        ArgumentNullException.ThrowIfNull(channel);
        _channel = channel;
        _iova = iova;
    }

    /// <inheritdoc/>
    public override bool NeedsMessages => true;

    /// <inheritdoc/>
    public override Errno Read(ulong offset, Span<byte> destination) =>
        Fits(offset, destination.Length) ? _channel.Read(_iova + offset, destination) : Errno.EFAULT;

    /// <inheritdoc/>
    public override Errno Write(ulong offset, ReadOnlySpan<byte> source) =>
        Fits(offset, source.Length) ? _channel.Write(_iova + offset, source) : Errno.EFAULT;

    /// <inheritdoc/>
    public override ValueTask<Errno> ReadAsync(ulong offset, Memory<byte> destination, CancellationToken cancellation = default) =>
        Fits(offset, destination.Length) ? _channel.ReadAsync(_iova + offset, destination, cancellation) : new(Errno.EFAULT);

    /// <inheritdoc/>
    public override ValueTask<Errno> WriteAsync(ulong offset, ReadOnlyMemory<byte> source, CancellationToken cancellation = default) =>
        Fits(offset, source.Length) ? _channel.WriteAsync(_iova + offset, source, cancellation) : new(Errno.EFAULT);

    /// <inheritdoc/>
    protected override void Free()
    {
        // The user keeps what is his.
    }

    private bool Fits(ulong offset, int length) => offset <= Length && (ulong)length <= Length - offset;
}
