using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests;

/// <summary>A device that only looks at its machine when it is opened and closed.</summary>
internal sealed class FakeDevice(string name) : VfioDevice(name)
{
    public Action? OnOpen { get; set; }

    public Action? OnClose { get; set; }

    public IHypervisor? SeenAtOpen { get; private set; }

    public int Opens { get; private set; }

    protected override void Open()
    {
        Opens++;
        SeenAtOpen = Hypervisor;
        OnOpen?.Invoke();
    }

    protected override void Close() => OnClose?.Invoke();

    protected override VfioDeviceInfo GetInfo() => new(VfioDeviceFlags.Reset, 1, 1);

    protected override VfioRegionInfo GetRegionInfo(uint index) => new((int)index, VfioRegionFlags.Read, 4096);

    protected override VfioIrqInfo GetIrqInfo(uint index) => new((int)index, VfioIrqFlags.Eventfd, 0);

    protected override void SetIrqs(in VfioIrqRequest request) => throw new VfioException(Errno.EINVAL, "SET_IRQS", "there are none");

    protected override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        data.Clear();
        transferred = data.Length;
        return Errno.None;
    }

    protected override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = 0;
        return Errno.EINVAL;
    }
}
