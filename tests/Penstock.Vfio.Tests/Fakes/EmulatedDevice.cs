using Penstock.Interop;

namespace Penstock.Vfio.Tests;

/// <summary>A device without hardware: no regions, no interrupts. It notes what is unmapped.</summary>
internal sealed class EmulatedDevice(string name) : VfioDevice(name)
{
    public List<(ulong Iova, ulong Length)> Unmaps { get; } = [];

    public Action<ulong, ulong>? OnUnmap { get; set; }

    public Action? OnOpen { get; set; }

    public int Opens { get; private set; }

    public int Closes { get; private set; }

    public Action<uint>? OnRequest { get; set; }

    protected internal override void Open()
    {
        OnOpen?.Invoke();
        Opens++;
    }

    protected internal override void Close() => Closes++;

    protected internal override VfioDeviceInfo GetInfo() => default;

    protected internal override VfioRegionInfo GetRegionInfo(uint index) => throw None();

    protected internal override VfioIrqInfo GetIrqInfo(uint index) => throw None();

    protected internal override void SetIrqs(in VfioIrqRequest request) => throw None();

    protected internal override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred) => Refuse(out transferred);

    protected internal override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred) => Refuse(out transferred);

    protected internal override void Request(uint round) => OnRequest?.Invoke(round);

    protected internal override void DmaUnmap(ulong iova, ulong length)
    {
        Unmaps.Add((iova, length));
        OnUnmap?.Invoke(iova, length);
    }

    private static Errno Refuse(out int transferred)
    {
        transferred = 0;
        return Errno.EINVAL;
    }

    private static VfioException None() => new(Errno.EINVAL, "the emulated device", "it has none");
}
