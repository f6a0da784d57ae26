using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>MPCIFC and STPCIFC: order of operations, checks of registrations, and what the guest reads back.</summary>
public sealed class ControlsTests : IDisposable
{
    private const ulong Tables = 0x10_0000;
    private const ulong Start = ZpciLimits.StartDma;

    private readonly ZpciGuestRig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void Registration_TwiceOrNotAtAll_SequenceError()
    {
        ZpciGuestFunction function = _rig.PlugEnabled();
        Assert.Equal("1/24", Do(function, ZpciModifyOperation.DeregisterInterrupts));
        Assert.Equal("0", Do(function, ZpciModifyOperation.RegisterInterrupts, Interrupts()));
        Assert.Equal("1/24", Do(function, ZpciModifyOperation.RegisterInterrupts, Interrupts()));
        Assert.True(function.HasInterrupts);
        Assert.Equal("0", Do(function, ZpciModifyOperation.DeregisterInterrupts));
        Assert.False(function.HasInterrupts);
        Assert.Equal("1/24", Do(function, ZpciModifyOperation.DeregisterInterrupts));

        Assert.Equal("1/24", Do(function, ZpciModifyOperation.DeregisterIoat));
        Assert.Equal("1/24", Do(function, ZpciModifyOperation.ReregisterIoat, Ioat()));
        Assert.Equal("0", Do(function, ZpciModifyOperation.RegisterIoat, Ioat()));
        Assert.Equal("1/24", Do(function, ZpciModifyOperation.RegisterIoat, Ioat()));
        Assert.Equal("0", Do(function, ZpciModifyOperation.ReregisterIoat, Ioat()));
        Assert.True(function.HasTranslation);
        Assert.Equal("0", Do(function, ZpciModifyOperation.DeregisterIoat));
        Assert.False(function.HasTranslation);
    }

    [Theory]
    [InlineData(ZpciModifyOperation.RegisterIoat)]
    [InlineData(ZpciModifyOperation.DeregisterIoat)]
    [InlineData(ZpciModifyOperation.ReregisterIoat)]
    public void Ioat_OtherDmaSpace_Status28BeforeTheOrder(ZpciModifyOperation operation) =>
        Assert.Equal("1/28", Text(_rig.Modify(_rig.PlugEnabled(), operation, Ioat(), space: 1)));

    [Theory]
    [InlineData(Start, Start + 0xfff, "0")]
    [InlineData(Start + 0x123, Start + 0x124, "0")]
    [InlineData(Start, ZpciLimits.EndDma, "0")]
    [InlineData(Start - 1, Start + 0xfff, "Operand")]
    [InlineData(0ul, ZpciLimits.EndDma, "Operand")]
    [InlineData(Start, ZpciLimits.EndDma + 1, "Operand")]
    [InlineData(Start + 0x2000, Start + 0x1000, "Operand")]
    [InlineData(Start, ulong.MaxValue, "Operand")]
    public void RegisterIoat_Window_RoundedOutwardsAndInsideOfTheFunctions(ulong first, ulong last, string answer)
    {
        // With relaxed translation the window is not cut to what the container has mappings for.
        ZpciGuestFunction function = _rig.PlugEnabled(relaxed: true);
        Assert.Equal(answer, Do(function, ZpciModifyOperation.RegisterIoat, Ioat(first: first, last: last)));
        _rig.StoreControls(function.Handle, out ZpciFib fib);
        Assert.Equal(answer == "0" ? first & ~0xffful : 0, fib.FirstAddress);
        Assert.Equal(answer == "0" ? last | 0xfff : 0, fib.LastAddress);
    }

    [Theory]
    [InlineData(ZpciDesignationType.Segment, ZpciDtsm.RegionThirdOnly, false)]
    [InlineData(ZpciDesignationType.RegionThird, ZpciDtsm.RegionThirdOnly, true)]
    [InlineData(ZpciDesignationType.RegionSecond, ZpciDtsm.RegionThirdOnly, false)]
    [InlineData(ZpciDesignationType.RegionFirst, ZpciDtsm.RegionThirdOnly, false)]
    [InlineData((ZpciDesignationType)4, ZpciDtsm.RegionThirdOnly, false)]
    [InlineData((ZpciDesignationType)5, ZpciDtsm.RegionThirdOnly, false)]
    [InlineData((ZpciDesignationType)6, ZpciDtsm.RegionThirdOnly, false)]
    [InlineData((ZpciDesignationType)7, ZpciDtsm.RegionThirdOnly, false)]
    [InlineData(ZpciDesignationType.Segment, (byte)0x80, true)]
    [InlineData(ZpciDesignationType.RegionThird, (byte)0x80, false)]
    [InlineData(ZpciDesignationType.RegionSecond, (byte)0x60, true)]
    [InlineData(ZpciDesignationType.RegionFirst, (byte)0x60, false)]
    [Trait("Row", "S0-11")]
    public void RegisterIoat_DesignationType_OnlyThoseThatTheGroupSupports(ZpciDesignationType type, byte mask, bool possible)
    {
        using var rig = new ZpciGuestRig(designationTypes: mask);
        ZpciGuestFunction function = rig.PlugEnabled();
        Assert.Equal(mask, function.Group.DesignationTypes);
        ulong iota = Tables | ZpciIota.Translate | ((ulong)type << ZpciIota.TypeShift);
        ZpciResult result = rig.Modify(function, ZpciModifyOperation.RegisterIoat, Ioat(iota));
        Assert.Equal(possible ? ZpciProgramException.None : ZpciProgramException.Operand, result.Exception);
        Assert.Equal(possible, function.HasTranslation);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void RegisterIoat_WithoutTables_OnlyWithRelaxedTranslation(bool relaxed)
    {
        ZpciGuestFunction function = _rig.PlugEnabled(relaxed: relaxed);
        Assert.Equal(relaxed, function.Group.HasRelaxedTranslation);
        Assert.Equal(relaxed ? "0" : "Operand", Do(function, ZpciModifyOperation.RegisterIoat, Ioat(iota: 0)));

        // The guest's whole memory is the device's: one mapping of it, at the start of the window.
        Assert.Equal(relaxed ? ZpciGuestRig.MemorySize : 0, _rig.LastContainer!.UnmapDma(0, 0, all: true));

        // There are no tables that could be refreshed.
        Assert.Equal("1/8", Text(_rig.Bus.Refresh(2, ZpciGuestRig.Request(function), Start, 0x1000)));
    }

    [Fact]
    public void RegisterIoat_WithoutTables_ReadOnlyMemoryIsReadOnlyForTheDeviceToo()
    {
        _rig.Machine.Vm.Memory.Add(new GuestMemorySlot(1, ZpciGuestRig.MemorySize, 0x1000, _rig.Memory, IsReadOnly: true));
        var hardware = new FakeFunction();
        ZpciGuestFunction function = _rig.PlugEnabled(hardware, relaxed: true);
        Assert.Equal("0", Do(function, ZpciModifyOperation.RegisterIoat, Ioat(iota: 0)));
        byte[] word = new byte[4];
        Assert.Equal(Errno.None, hardware.Port.Dma.Write(Start + ZpciGuestRig.MemorySize - 4, word));
        Assert.Equal(Errno.None, hardware.Port.Dma.Read(Start + ZpciGuestRig.MemorySize, word));
        Assert.NotEqual(Errno.None, hardware.Port.Dma.Write(Start + ZpciGuestRig.MemorySize, word));
    }

    [Fact]
    public void RegisterIoat_ModeRefuses_InsufficientResources()
    {
        ZpciGuestFunction function = _rig.PlugEnabled();
        function.SetMode(new RefusingMode());
        Assert.Equal("1/16", Do(function, ZpciModifyOperation.RegisterIoat, Ioat()));
        Assert.False(function.HasTranslation);
    }

    [Fact]
    [Trait("Row", "S3-13")]
    public void SetMode_TablesRegistered_EBUSYUntilTheyAreTakenBack()
    {
        ZpciGuestFunction function = _rig.PlugEnabled();
        Assert.Equal("fallback", function.Mode!.Name);
        Assert.Equal("0", Do(function, ZpciModifyOperation.RegisterIoat, Ioat()));
        using var other = new RefusingMode();
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => function.SetMode(other)));
        Assert.Equal("0", Do(function, ZpciModifyOperation.DeregisterIoat));
        function.SetMode(other);
        Assert.Equal("1/16", Do(function, ZpciModifyOperation.RegisterIoat, Ioat()));
    }

    [Theory]
    [InlineData(4ul, ZpciProgramException.Specification)]
    [InlineData(ZpciGuestRig.MemorySize, ZpciProgramException.Addressing)]
    [InlineData(ZpciGuestRig.MemorySize - 72, ZpciProgramException.Addressing)]
    public void Controls_OperandNotAlignedOrNotThere_Exception(ulong operand, ZpciProgramException exception)
    {
        ZpciGuestFunction function = _rig.PlugEnabled();
        Assert.Equal(exception, _rig.Bus.ModifyControls(ZpciGuestRig.Request(function, length: 10), operand).Exception);
        Assert.Equal(exception, _rig.Bus.StoreControls(ZpciGuestRig.Request(function), operand).Exception);
    }

    [Fact]
    public void ModifyControls_OtherFormat_OperandException() => Assert.Equal(
        ZpciProgramException.Operand, _rig.Modify(_rig.PlugEnabled(), ZpciModifyOperation.ResetError, new ZpciFib { Format = 1 }).Exception);

    [Fact]
    public void RegisterInterrupts_MemoryIsNotThere_ResourceNotAvailable()
    {
        ZpciGuestFunction function = _rig.PlugEnabled();
        Assert.Equal("1/4", Do(function, ZpciModifyOperation.RegisterInterrupts, Interrupts() with { VectorAddress = ZpciGuestRig.MemorySize }));
        Assert.Equal("1/4", Do(function, ZpciModifyOperation.RegisterInterrupts, Interrupts() with { SummaryAddress = ZpciGuestRig.MemorySize }));
        Assert.Equal("1/4", Do(function, ZpciModifyOperation.RegisterInterrupts, Interrupts() with { InterruptWord = 0x80 }));
        Assert.False(function.HasInterrupts);
    }

    [Fact]
    public void StoreControls_EverythingRegistered_ExactBytes()
    {
        ZpciGuestFunction function = _rig.PlugEnabled();
        Do(function, ZpciModifyOperation.RegisterInterrupts, Interrupts());
        Do(function, ZpciModifyOperation.RegisterIoat, Ioat(last: Start + 0x7ff_ffff));
        Do(function, ZpciModifyOperation.SetMeasurement, new ZpciFib { Measurement = 0xa000 });
        ZpciResult result = _rig.StoreControls(function.Handle, out _);
        Assert.Equal(ZpciResult.Done(ZpciGuestRig.Request(function)), result);
        Assert.Equal(
            "00000000000000009000000000000000" + "0000000100000000" + "0000000107ffffff" + "0000000000100804"
            + "300402850000000000000000000080000000000000009000" + "000000000000a0000000000000000000",
            Convert.ToHexStringLower(_rig.Memory.Span(ZpciGuestRig.FibAddress, ZpciFib.Length)));
    }

    [Fact]
    public void StoreControls_HandleFromBeforeEnabling_BitInTheRegister()
    {
        ZpciGuestFunction function = _rig.PlugEnabled();
        uint before = function.Handle & ~ZpciHandle.Enabled;
        ZpciResult result = _rig.StoreControls(before, out ZpciFib fib);
        Assert.Equal(ZpciGuestRig.Request(function), result.Register);
        Assert.Equal(ZpciFunctionControls.Enabled, fib.Controls);
        Assert.Equal("1/28", Text(_rig.Bus.StoreControls(ZpciGuestRig.Request(before, 1), 4)));
        Assert.Equal(ZpciConditionCode.InvalidHandle, _rig.StoreControls(99, out _).ConditionCode);
    }

    [Fact]
    public void Disable_EverythingRegistered_NothingIsLeft()
    {
        ZpciGuestFunction function = _rig.PlugEnabled();
        Do(function, ZpciModifyOperation.RegisterInterrupts, Interrupts());
        Do(function, ZpciModifyOperation.RegisterIoat, Ioat());
        Do(function, ZpciModifyOperation.SetMeasurement, new ZpciFib { Measurement = 0xa000 });
        Assert.Equal(1, _rig.Clock.Alarms);
        Assert.Equal(ZpciClpResponse.Ok, _rig.Set(function, ZpciSetOperation.Disable));
        Assert.False(function.HasInterrupts);
        Assert.False(function.HasTranslation);
        Assert.Equal(0, _rig.Clock.Alarms);

        // And all of it can be had again.
        Assert.Equal(ZpciClpResponse.Ok, _rig.Set(function, ZpciSetOperation.Enable));
        Assert.Equal("0", Do(function, ZpciModifyOperation.RegisterInterrupts, Interrupts()));
        Assert.Equal("0", Do(function, ZpciModifyOperation.RegisterIoat, Ioat()));
    }

    [Fact]
    public void Refresh_WithoutTablesOrOutside_EventAndError()
    {
        ZpciGuestFunction function = _rig.PlugEnabled();
        Assert.Equal("1/8", Text(_rig.Bus.Refresh(2, ZpciGuestRig.Request(function), Start, 0x1000)));
        Do(function, ZpciModifyOperation.ResetError);
        Do(function, ZpciModifyOperation.RegisterIoat, Ioat(first: Start + 0x10_0000, last: Start + 0x1f_ffff));
        foreach ((ulong first, ulong length) in new[] { (Start, 0x1000ul), (Start + 0x20_0000, 0x1000ul), (ulong.MaxValue - 0xfff, 0x2000ul) })
        {
            Assert.Equal("1/8", Text(_rig.Bus.Refresh(2, ZpciGuestRig.Request(function), first, length)));
            Assert.Equal(ZpciFunctionState.Error, function.State);
            Assert.Equal("0", Do(function, ZpciModifyOperation.ResetError));
        }

        ZpciErrorEventBlock[] events = [.. _rig.TakeEvents().Select(static e => ZpciErrorEventBlock.Read(e.Block.Span))];
        Assert.Equal(
            [ZpciErrorEvent.InvalidAddressSpace, ZpciErrorEvent.AddressOutOfRange, ZpciErrorEvent.AddressOutOfRange, ZpciErrorEvent.AddressOutOfRange],
            events.Select(static e => e.Code));
        Assert.Equal(Start + 0x20_0000, events[2].Address);
        Assert.All(events, e => Assert.Equal((function.Handle, function.FunctionId), (e.Handle, e.FunctionId)));
    }

    [Fact]
    public void Refresh_SegmentsThatShareOnePageTable_BoundedWithoutAContainer()
    {
        const int Segments = 400;
        const ulong Segment = Tables + 0x4000;
        const ulong Page = Tables + 0x8000;
        Write(Tables + (2 * 8), Segment | ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask);
        for (ulong i = 0; i < Segments; i++)
        {
            Write(Segment + (i * 8), Page);
        }

        for (ulong i = 0; i < ZpciIoTable.PageEntries; i++)
        {
            Write(Page + (i * 8), 0x5000);
        }

        ZpciGuestFunction function = _rig.Bus.Plug(_rig.Open(), new ZpciFunctionOptions { Interpret = false });
        Assert.Equal(ZpciClpResponse.Ok, _rig.Set(function, ZpciSetOperation.Enable));
        Assert.Equal("0", Do(function, ZpciModifyOperation.RegisterIoat, Ioat(last: Start + (Segments * ZpciIoTable.SegmentSize) - 1)));
        Assert.Equal("0", Text(_rig.Bus.Refresh(2, ZpciGuestRig.Request(function), Start, ZpciIoTable.SegmentSize)));
        Assert.Equal("1/16", Text(_rig.Bus.Refresh(2, ZpciGuestRig.Request(function), Start, Segments * ZpciIoTable.SegmentSize)));
        for (ulong i = 0; i < ZpciIoTable.PageEntries; i++)
        {
            Write(Page + (i * 8), ZpciIoTable.PageInvalid);
        }

        Assert.Equal("0", Text(_rig.Bus.Refresh(2, ZpciGuestRig.Request(function), Start, Segments * ZpciIoTable.SegmentSize)));
    }

    internal static ZpciFib Interrupts() => new()
    {
        InterruptWord = new ZpciInterruptWord(0) { Subclass = ZpciGuestRig.Subclass, Interrupts = 4, VectorOffset = 2, HasSummary = true, SummaryOffset = 5 }.Value,
        VectorAddress = ZpciGuestRig.Vector,
        SummaryAddress = ZpciGuestRig.Summary,
    };

    internal static ZpciFib Ioat(ulong iota = Tables | ZpciIota.RegionThirdFlags, ulong first = Start, ulong last = Start + 0x7ff_ffff) =>
        new() { Iota = iota, FirstAddress = first, LastAddress = last };

    private static string Text(ZpciResult result) => result.Exception != ZpciProgramException.None
        ? result.Exception.ToString()
        : result.ConditionCode == ZpciConditionCode.Error ? $"1/{(byte)result.Status}" : $"{(byte)result.ConditionCode}";

    private void Write(ulong address, ulong entry) => System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(_rig.Memory.Span(address, sizeof(ulong)), entry);

    private string Do(ZpciGuestFunction function, ZpciModifyOperation operation, ZpciFib fib = default) => Text(_rig.Modify(function, operation, fib));

    private sealed class RefusingMode : IRefreshMode
    {
        public string Name => "refusing";

        public Errno Register(IoatRegistration registration) => Errno.ENOMEM;

        public void Deregister()
        {
        }

        public RpcitAnswer Refresh(ulong start, ulong length) => RpcitAnswer.Done;

        public void Dispose()
        {
        }
    }
}
