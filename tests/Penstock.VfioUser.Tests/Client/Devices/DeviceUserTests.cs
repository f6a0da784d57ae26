using Penstock.Devices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>
/// What a user does with a device. The same bodies run against a device in the user's process and against one that is served on a socket: a
/// user cannot tell.
/// </summary>
public abstract partial class DeviceUserTests
{
    private const uint Bar = VfioRegions.Bar0;
    private const ulong Iova = 0x10_0000;
    private const ulong Size = 0x10_0000;
    private const uint FromMemory = 1;
    private const uint ToMemory = 3;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private protected abstract DeviceRig Open(IPciFunction function);

    [Fact]
    public void Infos_AreTheDevices()
    {
        using DeviceRig rig = Open(new EduFunction());
        VfioDeviceInfo info = rig.File.GetInfo();
        Assert.Equal((VfioDeviceFlags.Pci | VfioDeviceFlags.Reset, 9, 5), (info.Flags, info.RegionCount, info.IrqCount));
        Assert.Equal((VfioRegionFlags.Read | VfioRegionFlags.Write, 1ul << 20), Of(rig.File.GetRegionInfo(0)));
        Assert.Equal((VfioRegionFlags.None, 0ul), Of(rig.File.GetRegionInfo(1)));
        Assert.Equal((VfioRegionFlags.Read | VfioRegionFlags.Write, 256ul), Of(rig.File.GetRegionInfo(VfioRegions.Config)));
        Assert.Equal((ulong)VfioRegions.Config << 40, rig.File.GetRegionInfo(VfioRegions.Config).Offset);
        Assert.Equal((VfioIrqFlags.Eventfd | VfioIrqFlags.Maskable | VfioIrqFlags.Automasked, 1u), Of(rig.File.GetIrqInfo(VfioIrqs.Intx)));
        Assert.Equal((VfioIrqFlags.Eventfd | VfioIrqFlags.NoResize, 1u), Of(rig.File.GetIrqInfo(VfioIrqs.Msi)));
        Assert.Equal(0u, rig.File.GetIrqInfo(VfioIrqs.Msix).Count);
        AssertErrno(Errno.EINVAL, () => rig.File.GetRegionInfo(VfioRegions.Vga));
        AssertErrno(Errno.EINVAL, () => rig.File.GetRegionInfo(99));
        AssertErrno(Errno.EINVAL, () => rig.File.GetIrqInfo(5));
    }

    [Fact]
    public void Registers_ReadAndWrite()
    {
        using DeviceRig rig = Open(new EduFunction());
        Assert.Equal(0x11E8_1234u, rig.Read32(VfioRegions.Config, 0));
        rig.Enable();
        Assert.Equal(0x0100_00EDu, rig.Read32(Bar, 0));
        rig.Write32(Bar, 4, 0x1234_5678);
        Assert.Equal(~0x1234_5678u, rig.Read32(Bar, 4));
        byte[] page = DmaWire.Pattern(3, 4096);
        rig.Write(Bar, 0x40000, page);
        Assert.Equal(page, rig.Read(Bar, 0x40000, 4096));
    }

    [Fact]
    public void Access_AtTheEdges_IsCutOrRefused()
    {
        using DeviceRig rig = Open(new EduFunction());
        byte[] data = new byte[8];
        Assert.Equal((Errno.None, 8), (rig.File.Read(Bar, 0, data, out int done), done));
        rig.Write(VfioRegions.Config, 4, [0, 0]);
        Assert.Equal((Errno.EIO, 0), (rig.File.Read(Bar, 0, data, out done), done));
        rig.Enable();
        Assert.Equal((Errno.EINVAL, 0), (rig.File.Read(Bar, 1 << 20, data, out done), done));
        Assert.Equal((Errno.EINVAL, 0), (rig.File.Read(Bar, ulong.MaxValue, data, out done), done));
        Assert.Equal((Errno.EINVAL, 0), (rig.File.Read(3, 0, data, out done), done));
        Assert.Equal((Errno.EINVAL, 0), (rig.File.Read(77, 0, data, out done), done));
        Assert.Equal((Errno.EINVAL, 0), (rig.File.Write(Bar, 1 << 20, data, out done), done));
        Assert.Equal((Errno.None, 4), (rig.File.Read(Bar, (1 << 20) - 4, data, out done), done));
        Assert.Equal((Errno.None, 0), (rig.File.Read(Bar, 0, [], out done), done));
    }

    [Fact]
    public void Interrupt_ByMsi_SignalsTheEventfd()
    {
        using DeviceRig rig = Open(new EduFunction());
        using EventDescriptor e = Interrupted(rig, VfioIrqs.Msi);
        Assert.Equal(1u, rig.Read32(Bar, 0x24));
        rig.Write32(Bar, 0x64, 1);
        rig.File.SetIrqs(new VfioIrqRequest { Index = VfioIrqs.Msi, Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger });
        rig.Write32(Bar, 0x60, 1);
        Assert.False(e.TryDrain(out _));
    }

    [Fact]
    public void Interrupt_ByPin_IsMaskedUntilUnmasked()
    {
        using DeviceRig rig = Open(new EduFunction());
        using EventDescriptor e = Interrupted(rig, VfioIrqs.Intx);
        Assert.Equal(0u, (uint)e.Drain());
        rig.File.SetIrqs(new VfioIrqRequest { Index = VfioIrqs.Intx, Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionUnmask, Count = 1 });
        Await(e);
        rig.Write32(Bar, 0x64, 1);
    }

    [Fact]
    public void Interrupt_TriggeredByTheUser_SignalsWhatIsNamed()
    {
        using DeviceRig rig = Open(new WireFunction());
        EventDescriptor[] events = Handles.Events(4);
        rig.Bind(VfioIrqs.Msi, 0, events);
        rig.File.SetIrqs(new VfioIrqRequest { Index = VfioIrqs.Msi, Flags = VfioIrqSetFlags.DataBool | VfioIrqSetFlags.ActionTrigger, Count = 4, Bools = [0, 1, 0, 1] });
        Await(events[1]);
        Await(events[3]);
        Assert.Equal((0ul, 0ul), (events[0].Drain(), events[2].Drain()));
        events.DisposeAll();
    }

    [Fact]
    public void Interrupt_Requests_AreJudgedAlike()
    {
        using DeviceRig rig = Open(new EduFunction());
        Refused(Errno.EINVAL, VfioIrqs.Count, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 1);
        Refused(Errno.EINVAL, VfioIrqs.Msi, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 1, 1);
        Refused(Errno.EINVAL, VfioIrqs.Msi, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 2);
        Refused(Errno.ENOTTY, VfioIrqs.Msi, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger | VfioIrqSetFlags.ActionMask, 0, 1);
        Refused(Errno.EINVAL, VfioIrqs.Msi, VfioIrqSetFlags.ActionTrigger, 0, 1);
        Refused(Errno.ENOTTY, VfioIrqs.Msi, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionMask, 0, 1);
        Refused(Errno.EINVAL, VfioIrqs.Intx, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionMask, 0, 1);

        void Refused(Errno errno, int index, VfioIrqSetFlags flags, uint start, uint count) => AssertErrno(
            errno, () => rig.File.SetIrqs(new VfioIrqRequest { Index = (uint)index, Flags = flags, Start = start, Count = count }));
    }

    [Fact]
    public void Dma_MemoryWithADescriptor_BothWays()
    {
        using DeviceRig rig = Open(new EduFunction());
        Copy(rig, rig.FileMemory(Size));
    }

    [Fact]
    public void Dma_MemoryWithoutADescriptor_BothWays()
    {
        using DeviceRig rig = Open(new EduFunction());
        Copy(rig, ProcessMemory.Allocate(Size));
    }

    [Fact]
    public void Dma_AfterTheUnmap_ReachesNothing()
    {
        using DeviceRig rig = Open(new EduFunction());
        rig.Enable();
        MappedMemory memory = rig.FileMemory(Size);
        rig.Map(Iova, Size, memory);
        rig.Write(Bar, 0x40000, 1, 2, 3, 4);
        Transfer(rig, 0x40000, Iova, 4, ToMemory);
        rig.Unmap(Iova, Size);
        rig.Write(Bar, 0x40000, 5, 6, 7, 8);
        Transfer(rig, 0x40000, Iova, 4, ToMemory);
        byte[] seen = new byte[4];
        Assert.Equal(Errno.None, memory.Read(0, seen));
        Assert.Equal([1, 2, 3, 4], seen);
        memory.Release();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Dma_ReadOnlyMapping_IsNotWritten(bool hasFile)
    {
        using DeviceRig rig = Open(new EduFunction());
        rig.Enable();
        UserMemory memory = hasFile ? rig.FileMemory(Size) : ProcessMemory.Allocate(Size);
        Assert.Equal(Errno.None, memory.Write(0, [9, 9, 9, 9]));
        rig.Map(Iova, Size, memory, access: DmaAccess.Read);
        Transfer(rig, Iova, 0x40000, 4, FromMemory);
        Assert.Equal([9, 9, 9, 9], rig.Read(Bar, 0x40000, 4));
        rig.Write(Bar, 0x40000, 1, 2, 3, 4);
        Transfer(rig, 0x40000, Iova, 4, ToMemory);
        byte[] seen = new byte[4];
        Assert.Equal(Errno.None, memory.Read(0, seen));
        Assert.Equal([9, 9, 9, 9], seen);
        memory.Release();
    }

    [Fact]
    public void Dma_AcrossTwoMappings_IsOneTransfer()
    {
        using DeviceRig rig = Open(new EduFunction());
        rig.Enable();
        MappedMemory first = rig.FileMemory(Size);
        var second = ProcessMemory.Allocate(Size);
        rig.Map(Iova, 0x1000, first);
        rig.Map(Iova + 0x1000, 0x1000, second);
        byte[] data = DmaWire.Pattern(7, 4096);
        rig.Write(Bar, 0x40000, data);
        Transfer(rig, 0x40000, Iova + 0x800, 4096, ToMemory);
        byte[] seen = new byte[4096];
        Assert.Equal(Errno.None, first.Read(0x800, seen.AsSpan(0, 0x800)));
        Assert.Equal(Errno.None, second.Read(0, seen.AsSpan(0x800)));
        Assert.Equal(data, seen);
        rig.Unmap(Iova, 0x2000);
        first.Release();
        second.Release();
    }

    [Fact]
    public void Map_OverAnother_IsRefusedAndChangesNothing()
    {
        using DeviceRig rig = Open(new EduFunction());
        rig.Enable();
        MappedMemory memory = rig.FileMemory(Size);
        rig.Map(Iova, 0x2000, memory);
        AssertErrno(Errno.EEXIST, () => rig.Map(Iova + 0x1000, 0x2000, memory));
        rig.Map(Iova + 0x2000, 0x2000, memory, 0x2000);
        Transfer(rig, Iova + 0x1000, 0x40000, 16, FromMemory);
        memory.Release();
    }

    [Fact]
    public void Reset_ForgetsTheRegisters()
    {
        using DeviceRig rig = Open(new EduFunction());
        rig.Enable();
        rig.Write32(Bar, 4, 5);
        rig.File.Reset();
        rig.Enable();
        Assert.NotEqual(~5u, rig.Read32(Bar, 4));
    }

    [Fact]
    public void Idio16_OutputsAndInputs()
    {
        var card = new Idio16Function(0xBEEF);
        using DeviceRig rig = Open(card);
        rig.Enable();
        rig.Write(2, 0, 0x5A);
        rig.Write(2, 4, 0xA5);
        Assert.Equal(0x5A, rig.Read(2, 0, 1)[0]);
        Assert.Equal(0xA5, rig.Read(2, 4, 1)[0]);
        Assert.Equal(0xEF, rig.Read(2, 1, 1)[0]);
        Assert.Equal(0xBE, rig.Read(2, 5, 1)[0]);
    }

    [Fact]
    public void Vectors_MoreThanOneMessageHolds_AllSignal()
    {
        using DeviceRig rig = Open(new ManyVectors());
        rig.Enable();
        foreach ((uint index, int count) in ((uint, int)[])[(VfioIrqs.Msi, 32), (VfioIrqs.Msix, 100)])
        {
            EventDescriptor?[] events = Handles.Events(count);
            events[5] = null;
            rig.Bind(index, 0, events);
            rig.File.SetIrqs(new VfioIrqRequest { Index = index, Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Count = (uint)count });
            foreach (EventDescriptor e in events.OfType<EventDescriptor>())
            {
                Await(e);
            }

            rig.Bind(index, 8, [.. Enumerable.Repeat<EventDescriptor?>(null, count - 10)]);
            rig.File.SetIrqs(new VfioIrqRequest { Index = index, Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Count = (uint)count });
            Await(events[count - 1]!);
            Assert.Equal(0ul, events[8]!.Drain() + events[count - 3]!.Drain());
            rig.File.SetIrqs(new VfioIrqRequest { Index = index, Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger });
            events.OfType<EventDescriptor>().DisposeAll();
        }
    }

    [Fact]
    public void Regions_ThatCanBeMapped_AreMemory()
    {
        var function = new MappableFunction();
        using (DeviceRig rig = Open(function))
        {
            rig.Enable();
            VfioRegionInfo info = rig.File.GetRegionInfo(0);
            Assert.Equal(VfioRegionFlags.Read | VfioRegionFlags.Write | VfioRegionFlags.Mmap, info.Flags);
            Assert.Equal([new VfioRegionArea(0x1000, 0x1000), new VfioRegionArea(0x3000, 0x1000)], info.MappableAreas);
            AssertErrno(Errno.EINVAL, () => rig.File.Map(0, 0, 0x1000));
            AssertErrno(Errno.EINVAL, () => rig.File.Map(3, 0, 0x1000));
            using VfioRegionMapping mapping = rig.File.Map(0, 0x3000, 0x1000);
            Assert.Equal(Errno.None, mapping.Write(0x10, [1, 2, 3]));
            Assert.Equal([1, 2, 3], function.Doorbells.Span(0x3010, 3).ToArray());
            function.Doorbells.Span(0x3020, 1)[0] = 9;
            using (RegionAccess access = mapping.Enter())
            {
                Assert.Equal(9, access.Bytes[0x20]);
            }

            Assert.Equal(9, rig.Read(0, 0x3020, 1)[0]);
            Assert.Empty(function.Calls);
        }

        function.Doorbells.Release();
        function.Whole.Release();
    }

    [Fact]
    public void Feature_ThatNobodyHas_IsEnotty()
    {
        using DeviceRig rig = Open(new EduFunction());
        byte[] call = new Payload().U32(16, 10 | Cmd.Get).U64(0);
        AssertErrno(Errno.ENOTTY, () => rig.File.Ioctl((uint)VfioDeviceRequest.Feature, call));
        call = new Payload().U32(16, 1 | Cmd.Probe | Cmd.Get).U64(0);
        Assert.Equal(0, rig.File.Ioctl((uint)VfioDeviceRequest.Feature, call));
        call = new Payload().U32(16, 1 | Cmd.Set).U64(0);
        AssertErrno(Errno.EINVAL, () => rig.File.Ioctl((uint)VfioDeviceRequest.Feature, call));
    }

    private protected static void Transfer(DeviceRig rig, ulong from, ulong to, ulong count, uint command)
    {
        rig.Write64(Bar, 0x80, from);
        rig.Write64(Bar, 0x88, to);
        rig.Write64(Bar, 0x90, count);
        rig.Write64(Bar, 0x98, command);
        Assert.True(SpinWait.SpinUntil(() => (rig.Read64(Bar, 0x98) & 1) == 0, Patience), "the transfer does not end");
    }

    private protected static void Await(EventDescriptor e) =>
        Assert.True(Poll.Wait(e.Number(), PollEvents.In, Patience) != PollEvents.None && e.Drain() != 0, "no interrupt");

    private protected static void AssertErrno(Errno errno, Action call) => Assert.Equal(errno, Assert.Throws<VfioException>(call).Errno);

    /// <summary>An eventfd to which the device has just brought an interrupt.</summary>
    private static EventDescriptor Interrupted(DeviceRig rig, uint index)
    {
        rig.Enable();
        var e = EventDescriptor.Create(rig.Host.Ledger);
        rig.Bind(index, 0, e);
        rig.Write32(Bar, 0x60, 1);
        Await(e);
        return e;
    }

    private static void Copy(DeviceRig rig, UserMemory memory)
    {
        rig.Enable();
        rig.Map(Iova, Size, memory);
        byte[] data = DmaWire.Pattern(1, 4096);
        Assert.Equal(Errno.None, memory.Write(0x2000, data));
        Transfer(rig, Iova + 0x2000, 0x40000, 4096, FromMemory);
        Transfer(rig, 0x40000, Iova + 0x8001, 4096, ToMemory);
        byte[] seen = new byte[4096];
        Assert.Equal(Errno.None, memory.Read(0x8001, seen));
        Assert.Equal(data, seen);
        rig.Unmap(Iova, Size);
        memory.Release();
    }

    private static (VfioRegionFlags, ulong) Of(VfioRegionInfo info) => (info.Flags, info.Size);

    private static (VfioIrqFlags, uint) Of(VfioIrqInfo info) => (info.Flags, info.Count);
}
