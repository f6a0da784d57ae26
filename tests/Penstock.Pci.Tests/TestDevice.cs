using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>A device as its users reach it, without the file between.</summary>
internal sealed class TestDevice : VfioPciCoreDevice
{
    public TestDevice(FakeFunction function, Action<string>? log = null, bool open = true)
        : base("0000:01:00.0", function, TestTopology.NewGroup(), log)
    {
        Hardware = function;
        if (open)
        {
            Open();
        }
    }

    public FakeFunction Hardware { get; }

    public bool Dynamic { get; init; } = true;

    public bool Resettable { get; init; } = true;

    public PciConfigSpace ConfigSpace => Config;

    public PciCommand Command
    {
        get => ConfigSpace.Command;
        set => WriteConfig(PciConfigOffsets.Command, 2, (uint)value);
    }

    protected override bool HasDynamicMsix => Dynamic;

    protected override bool CanReset => Resettable;

    /// <summary>A function with a pin, MSI, MSI-X, PM, Express, an I/O BAR and two memory BARs.</summary>
    public static FakeFunction FullFunction(Func<IReadOnlyList<PciCapability>>? capabilities = null, byte pin = 1) => new()
    {
        Description = new PciFunctionDescription
        {
            VendorId = 0x1b36,
            DeviceId = 0x0010,
            SubsystemVendorId = 0x1af4,
            SubsystemId = 0x1100,
            ClassCode = 0x010802,
            Revision = 2,
            InterruptPin = pin,
            Bars =
            [
                new PciBar(0, PciBarKind.Memory64, 0x4000),
                new PciBar(2, PciBarKind.Io, 0x20),
                new PciBar(4, PciBarKind.Memory32, 0x1000, Prefetchable: true),
            ],
            Capabilities = capabilities ?? (static () =>
            [
                new PowerManagementCapability(),
                new MsiCapability(8),
                new ExpressCapability(),
                new MsixCapability(4, 0, 0x2000, 0, 0x3000),
                new DeviceSerialNumberCapability(0x0011_2233_4455_6677),
            ]),
        },
    };

    public static TestDevice Full(Action<string>? log = null) => new(FullFunction(), log);

    public new void Open() => base.Open();

    public new void Close() => base.Close();

    public new void Reset() => base.Reset();

    public new void Request(uint round) => base.Request(round);

    public new VfioDeviceInfo GetInfo() => base.GetInfo();

    public new VfioRegionInfo GetRegionInfo(uint index) => base.GetRegionInfo(index);

    public new VfioIrqInfo GetIrqInfo(uint index) => base.GetIrqInfo(index);

    public new Errno Read(uint region, ulong offset, Span<byte> data, out int transferred) =>
        base.Read(region, offset, data, out transferred);

    public new Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred) =>
        base.Write(region, offset, data, out transferred);

    public uint ReadConfig(int offset, int width)
    {
        Span<byte> word = stackalloc byte[4];
        word.Clear();
        Assert.Equal(Errno.None, Read(VfioRegions.Config, (ulong)offset, word[..width], out int done));
        Assert.Equal(width, done);
        return BinaryPrimitives.ReadUInt32LittleEndian(word);
    }

    public void WriteConfig(int offset, int width, uint value)
    {
        Span<byte> word = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(word, value);
        Assert.Equal(Errno.None, Write(VfioRegions.Config, (ulong)offset, word[..width], out int done));
        Assert.Equal(width, done);
    }

    public void Bind(int index, int start, params EventDescriptor?[] events) => SetIrqs(new VfioIrqRequest
    {
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Index = (uint)index,
        Start = (uint)start,
        Count = (uint)events.Length,
        Events = events,
    });

    public void Irq(int index, VfioIrqSetFlags action, int start = 0, int count = 1) => SetIrqs(new VfioIrqRequest
    {
        Flags = VfioIrqSetFlags.DataNone | action,
        Index = (uint)index,
        Start = (uint)start,
        Count = (uint)count,
    });

    public void IrqBools(int index, int start, params byte[] bools) => SetIrqs(new VfioIrqRequest
    {
        Flags = VfioIrqSetFlags.DataBool | VfioIrqSetFlags.ActionTrigger,
        Index = (uint)index,
        Start = (uint)start,
        Count = (uint)bools.Length,
        Bools = bools,
    });

    public void Raw(in VfioIrqRequest request) => SetIrqs(request);
}
