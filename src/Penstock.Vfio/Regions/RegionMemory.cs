using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>Part of the memory behind a device's region.</summary>
internal sealed class RegionMemory : UserMemory
{
    private readonly UserMemory _source;
    private readonly ulong _start;

    internal RegionMemory(UserMemory source, ulong start, ulong length)
        : base(length)
    {
        source.Hold();
        _source = source;
        _start = start;
    }

    public override bool IsReserved => true;

    public override bool NeedsMessages => _source.NeedsMessages;

    public override DmaAccess Allowed => _source.Allowed;

    public override nint DirectAddress => _source.DirectAddress == 0 ? 0 : (nint)((ulong)_source.DirectAddress + _start);

    public override OwnedDescriptor? Share(out ulong offset)
    {
        OwnedDescriptor? file = _source.Share(out offset);
        offset += _start;
        return file;
    }

    public override void Withdraw() => _source.Withdraw();

    public override Errno Read(ulong offset, Span<byte> destination) =>
        IsInside(offset, destination.Length) ? _source.Read(_start + offset, destination) : Errno.EFAULT;

    public override Errno Write(ulong offset, ReadOnlySpan<byte> source) =>
        IsInside(offset, source.Length) ? _source.Write(_start + offset, source) : Errno.EFAULT;

    internal override Errno Copy(ulong offset, Span<byte> data, DmaAccess access, DmaTransfer transfer) =>
        IsInside(offset, data.Length) ? _source.Copy(_start + offset, data, access, transfer) : Errno.EFAULT;

    internal override ValueTask<Errno> CopyAsync(
        ulong offset, Memory<byte> data, DmaAccess access, DmaTransfer transfer, CancellationToken cancellation) =>
        IsInside(offset, data.Length) ? _source.CopyAsync(_start + offset, data, access, transfer, cancellation) : new(Errno.EFAULT);

    protected override void Free() => _source.Release();

    private bool IsInside(ulong offset, int length) => offset <= Length && (ulong)length <= Length - offset;
}
