using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Model;

/// <summary>A device without regions that tells when it is asked to be given back.</summary>
internal sealed class ModelDevice(string name) : VfioDevice(name)
{
    private int _open;

    internal ManualResetEventSlim Requested { get; } = new();

    protected internal override void Open() => Assert.Equal(1, Interlocked.Increment(ref _open));

    protected internal override void Close() => Assert.Equal(0, Interlocked.Decrement(ref _open));

    protected internal override VfioDeviceInfo GetInfo() => new(VfioDeviceFlags.None, 0, 0);

    protected internal override VfioRegionInfo GetRegionInfo(uint index) => throw new VfioException(Errno.EINVAL, "region info", "there are no regions");

    protected internal override VfioIrqInfo GetIrqInfo(uint index) => throw new VfioException(Errno.EINVAL, "irq info", "there are no interrupts");

    protected internal override void SetIrqs(in VfioIrqRequest request) => throw new VfioException(Errno.ENOTTY, "set irqs", "there are no interrupts");

    protected internal override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        transferred = 0;
        return Errno.EINVAL;
    }

    protected internal override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = 0;
        return Errno.EINVAL;
    }

    protected internal override void Request(uint round) => Requested.Set();
}
