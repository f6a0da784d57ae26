using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>A device that does nothing but pin.</summary>
internal sealed class BenchDevice() : VfioDevice("bench")
{
    protected override VfioDeviceInfo GetInfo() => default;

    protected override VfioRegionInfo GetRegionInfo(uint index) => throw None();

    protected override VfioIrqInfo GetIrqInfo(uint index) => throw None();

    protected override void SetIrqs(in VfioIrqRequest request) => throw None();

    protected override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred) => Refuse(out transferred);

    protected override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred) => Refuse(out transferred);

    protected override void DmaUnmap(ulong iova, ulong length)
    {
        // Nothing is unmapped while something is pinned.
    }

    private static Errno Refuse(out int transferred)
    {
        transferred = 0;
        return Errno.EINVAL;
    }

    private static VfioException None() => new(Errno.EINVAL, "the bench device", "it has no regions and no interrupts");
}
