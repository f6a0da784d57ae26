using Penstock.Interop;

namespace Penstock.Vfio.Tests;

/// <summary>A device without hardware: no regions, no interrupts.</summary>
internal abstract class BareDevice(string name) : VfioDevice(name)
{
    protected internal override VfioDeviceInfo GetInfo() => default;

    protected internal override VfioRegionInfo GetRegionInfo(uint index) => throw None();

    protected internal override VfioIrqInfo GetIrqInfo(uint index) => throw None();

    protected internal override void SetIrqs(in VfioIrqRequest request) => throw None();

    protected internal override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred) => Refuse(out transferred);

    protected internal override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred) => Refuse(out transferred);

    private static Errno Refuse(out int transferred)
    {
        transferred = 0;
        return Errno.EINVAL;
    }

    private static VfioException None() => new(Errno.EINVAL, "the bare device", "it has none");
}
