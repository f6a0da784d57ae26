using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>A device whose one region is 16 KiB of memory that users map.</summary>
internal sealed class MappableDevice() : VfioDevice("mappable"), IDisposable
{
    public const ulong Size = 0x4000;

    public ProcessMemory Memory { get; } = ProcessMemory.Allocate(Size);

    public void Revoke() => RevokeMappings();

    public void Restore() => RestoreMappings();

    public void Dispose() => Memory.Release();

    protected internal override VfioDeviceInfo GetInfo() => new(VfioDeviceFlags.None, 1, 0);

    protected internal override VfioRegionInfo GetRegionInfo(uint index) => index == 0
        ? new(0, VfioRegionFlags.Read | VfioRegionFlags.Write | VfioRegionFlags.Mmap, Size)
        : throw new VfioException(Errno.EINVAL, "region info", "no such region");

    protected internal override VfioIrqInfo GetIrqInfo(uint index) => throw new VfioException(Errno.EINVAL, "irq info", "no such interrupt");

    protected internal override void SetIrqs(in VfioIrqRequest request)
    {
    }

    protected internal override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        transferred = data.Length;
        return Memory.Read(offset, data);
    }

    protected internal override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = data.Length;
        return Memory.Write(offset, data);
    }

    protected internal override UserMemory Map(uint region, ulong offset, ulong length, out ulong start)
    {
        start = offset;
        return Memory;
    }
}
