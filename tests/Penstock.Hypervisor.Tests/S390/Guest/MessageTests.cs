using Penstock.Specs.Pci;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>Messages of a device that become bits in the guest's memory and adapter interruptions.</summary>
public sealed class MessageTests : IDisposable
{
    private const ulong Table = 0x2000;
    private const ulong Pending = 0x3000;

    private readonly ZpciGuestRig _rig = new();
    private readonly FakeFunction _hardware = new();
    private readonly ZpciGuestFunction _function;

    public MessageTests() => _function = _rig.PlugEnabled(_hardware);

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void Vector_SummaryClear_BitsSetAndOneInterruption()
    {
        SetUp();
        _hardware.Port.SignalVector(1);
        WaitFor(() => _rig.Injected.Count == 1);
        _hardware.Port.SignalVector(2);
        WaitFor(() => Byte(ZpciGuestRig.Vector) == (0x80 >> 3 | 0x80 >> 4));

        // Vector 1 is bit 2 + 1 from the left, the summary bit 5; the second one found the summary set.
        Assert.Equal(0x80 >> 5, Byte(ZpciGuestRig.Summary));
        Assert.Equal([ZpciGuestRig.Subclass], _rig.Injected);

        _rig.Memory.Write(ZpciGuestRig.Summary, [0]);
        _hardware.Port.SignalVector(1);
        WaitFor(() => _rig.Injected.Count == 2);
    }

    [Fact]
    public void Vector_FunctionNotEnabled_GoesNowhere()
    {
        SetUp();
        Assert.True(_function.Fail(ZpciErrorEvent.TranslationProtection, 0));
        _hardware.Port.SignalVector(0);
        WaitFor(() => _function.LostMessages == 1);
        Assert.Equal(0, Byte(ZpciGuestRig.Vector));
        Assert.Empty(_rig.Injected);
    }

    [Fact]
    public void Vector_GuestHasFewer_GoesNowhere()
    {
        SetUp(dataOf: static vector => (uint)vector + 4);
        _hardware.Port.SignalVector(0);
        WaitFor(() => _function.LostMessages == 1);
        Assert.Equal(0, Byte(ZpciGuestRig.Vector));
    }

    [Fact]
    public void Vector_DeregisteredByTheGuest_MemoryStaysAsItIs()
    {
        SetUp();
        Assert.Equal(ZpciConditionCode.Done, _rig.Modify(_function, ZpciModifyOperation.DeregisterInterrupts).ConditionCode);
        _hardware.Port.SignalVector(0);
        WaitFor(() => _function.LostMessages == 1);
        Assert.Equal(0, Byte(ZpciGuestRig.Vector));
    }

    [Fact]
    public void Vector_Masked_PendsUntilItIsUnmasked()
    {
        SetUp();
        Store(0, Table + 12, 4, PciMsix.VectorMasked);
        _hardware.Port.SignalVector(0);
        WaitFor(() => Load(0, Pending, 1) == 1);
        Assert.Equal(0, Byte(ZpciGuestRig.Vector));
        Store(0, Table + 12, 4, 0);
        Assert.Equal(0x80 >> 2, Byte(ZpciGuestRig.Vector));
        Assert.Equal(0ul, Load(0, Pending, 1));
    }

    [Fact]
    public void MessageElsewhere_NotTheGroupsAddress_NoBit()
    {
        SetUp();
        Store(0, Table + 4, 4, 0x1234_5678);
        _hardware.Port.SignalVector(0);
        Store(0, Table + PciMsix.EntrySize + 12, 4, 0);
        _hardware.Port.SignalVector(1);
        WaitFor(() => _rig.Injected.Count == 1);
        Assert.Equal(0x80 >> 3, Byte(ZpciGuestRig.Vector));
    }

    [Fact]
    public void Table_WhatTheGuestWrites_IsReadBackAndNotTheDevices()
    {
        byte[] before = new byte[16];
        _hardware.ReadBar(0, Table, before);
        Store(0, Table + 8, 4, 0x1122_3344);
        Assert.Equal(0x1122_3344ul, Load(0, Table + 8, 4));
        byte[] after = new byte[16];
        _hardware.ReadBar(0, Table, after);
        Assert.Equal(before, after);
        Assert.Equal(PciMsix.VectorMasked, Load(0, Table + 12, 4));
    }

    [Theory]
    [InlineData(ZpciInterruptionControl.All, 3)]
    [InlineData(ZpciInterruptionControl.Single, 1)]
    public void Suppression_OfASubclass_OneUntilTheGuestAsksAgain(ZpciInterruptionControl mode, int injected)
    {
        SetUp();
        Assert.Equal(ZpciConditionCode.Done, Suppress(mode, ZpciGuestRig.Subclass).ConditionCode);
        for (int i = 1; i <= 3; i++)
        {
            _rig.Memory.Write(ZpciGuestRig.Summary, [0]);
            _hardware.Port.SignalVector(0);
            WaitFor(() => _rig.Injected.Count + _rig.Bus.SuppressedInterruptions == i);
        }

        Assert.Equal(injected, _rig.Injected.Count);
        Suppress(ZpciInterruptionControl.Single, ZpciGuestRig.Subclass);
        _rig.Memory.Write(ZpciGuestRig.Summary, [0]);
        _hardware.Port.SignalVector(0);
        WaitFor(() => _rig.Injected.Count == injected + 1);
    }

    [Fact]
    public void Suppression_BadModeOrNoFacility_Exception()
    {
        Assert.Equal(ZpciProgramException.Operand, Suppress(ZpciInterruptionControl.SetAeniControls, 0).Exception);
        Assert.Equal(ZpciProgramException.Operand, _rig.Bus.SetInterruptionControls(0x7fff, 0).Exception);
        using var firmware = new ZpciGuestRig(0x1000);
        Gisa gisa = firmware.Machine.Vm.Gisa!;
        Assert.True(gisa.HasModes);
        firmware.Bus.SetInterruptionControls((ulong)ZpciInterruptionControl.Single, 2ul << 27);
        Assert.Equal(0x80 >> 2, gisa.Word.Modes.Single);
        firmware.Bus.SetInterruptionControls((ulong)ZpciInterruptionControl.All, 2ul << 27);
        Assert.Equal(0, gisa.Word.Modes.Single);
        using var without = new ZpciGuestRig(suppression: false);
        Assert.Equal(ZpciProgramException.Operation, without.Bus.SetInterruptionControls(0, 0, problemState: true).Exception);
    }

    private ZpciResult Suppress(ZpciInterruptionControl mode, int subclass) => _rig.Bus.SetInterruptionControls((ulong)mode, (ulong)subclass << 27);

    /// <summary>What a guest's driver does: messages into the table, MSI-X on, indicators registered.</summary>
    private void SetUp(Func<int, uint>? dataOf = null)
    {
        Assert.Equal(ZpciConditionCode.Done, _rig.Modify(_function, ZpciModifyOperation.RegisterInterrupts, ControlsTests.Interrupts()).ConditionCode);
        for (int vector = 0; vector < 4; vector++)
        {
            ulong entry = Table + ((ulong)vector * PciMsix.EntrySize);
            Store(0, entry, 4, (uint)_function.Group.MsiAddress);
            Store(0, entry + 4, 4, (uint)(_function.Group.MsiAddress >> 32));
            Store(0, entry + 8, 4, dataOf?.Invoke(vector) ?? (uint)vector);
            Store(0, entry + 12, 4, 0);
        }

        ulong control = Capability() + PciMsix.Control;
        Store(ZpciRegister.ConfigurationSpace, control, 2, PciMsix.Enable);
        Assert.Equal(PciMsix.Enable, Load(ZpciRegister.ConfigurationSpace, control, 2) & PciMsix.Enable);
    }

    private ulong Capability()
    {
        ulong at = Load(ZpciRegister.ConfigurationSpace, PciConfigOffsets.CapabilityPointer, 1);
        while (Load(ZpciRegister.ConfigurationSpace, at, 1) != (ulong)PciCapabilityId.Msix)
        {
            at = Load(ZpciRegister.ConfigurationSpace, at + 1, 1);
            Assert.NotEqual(0ul, at);
        }

        return at;
    }

    /// <summary>As a little-endian driver's accessors on this machine: the value is swapped into the register.</summary>
    private void Store(byte space, ulong offset, int length, uint value) => Assert.Equal(
        ZpciConditionCode.Done, _rig.Bus.Store(2, ZpciGuestRig.Request(_function, space, length), offset, Swap(value, length)).ConditionCode);

    private ulong Load(byte space, ulong offset, int length)
    {
        ZpciResult loaded = _rig.Bus.Load(2, ZpciGuestRig.Request(_function, space, length), offset);
        Assert.Equal(ZpciConditionCode.Done, loaded.ConditionCode);
        return Swap(loaded.Value, length);
    }

    private static ulong Swap(ulong value, int length) => System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(value) >> ((8 - length) * 8);

    private static void WaitFor(Func<bool> condition) => Assert.True(SpinWait.SpinUntil(condition, HypervisorRig.Patience), "what was waited for does not happen");

    private byte Byte(ulong address) => Volatile.Read(ref _rig.Memory.Span(address, 1)[0]);
}
