using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>Registering and taking back the forwarding of a function's interruptions: order, errors, pins, accounts.</summary>
public sealed class AdapterInterruptTests : IDisposable
{
    private const uint User = 77;

    private readonly OpenFunctionRig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S0-8")]
    public void Register_Done_EntryFibAndMaskAreAsTheGuestAsked()
    {
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function, count: 20)));
        AdapterInterrupts interrupts = Interrupts();
        ZpciGaitEntry entry = interrupts.GaitEntry;
        Assert.Equal((_rig.Gisa.Designation, S390Rig.Subclass, 1, 2), (entry.Designation, entry.Subclass, entry.Count, entry.SummaryOffset));
        Assert.Equal((ulong)_rig.Guest.DirectAddress + S390Rig.Summary, entry.SummaryAddress);
        ZpciFib fib = interrupts.SavedFib;
        var word = new ZpciInterruptWord(fib.InterruptWord);
        Assert.Equal(
            (_rig.S390.NotificationSubclass, 20, 0, true, interrupts.Entry % 64),
            (word.Subclass, word.Interrupts, word.VectorOffset, word.HasSummary, word.SummaryOffset));
        Assert.Equal((ulong)_rig.Guest.DirectAddress + S390Rig.Vector, fib.VectorAddress);
        Assert.Equal(_rig.Gisa.Designation, fib.Designation);
        Assert.Equal(_rig.Firmware.Parameters!.Value.SummaryVector, fib.SummaryAddress);
        Assert.Equal(2, _rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        Assert.Equal(GisaArea.MaskOf(S390Rig.Subclass), _rig.Gisa.Wanted);

        Assert.Equal(Errno.None, _rig.Deregister(_rig.Function));
        AssertNothingIsLeft();
        Assert.Equal(0, _rig.Firmware.Storage.Bytes((uint)_rig.Firmware.Parameters!.Value.Table, 512 * ZpciGaitEntry.Length).ToArray().Count(static b => b != 0));
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Register_MoreVectorsThanTheDeviceHas_AsManyAsItHas()
    {
        var function = new ZpciFunction(0x26, 6) { Firmware = _rig.Firmware, Group = new ZpciGroupInfo { Interrupts = 8 } };
        ZpciVfioPciDevice device = _rig.AddFunction(index: 6, make: (name, hardware, group, _) => new ZpciVfioPciDevice(name, hardware, group, function));
        using VfioDeviceFile file = _rig.Open(device);
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(function, count: 20)));
        AdapterInterrupts interrupts = Assert.Single(_rig.Vm.Zpci.All, t => t.Function == function).Interrupts!;
        Assert.Equal((8, 8), (interrupts.Vectors, new ZpciInterruptWord(interrupts.SavedFib.InterruptWord).Interrupts));
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Register_WhatTheGuestGaveIsWrong_ItsErrorAndNothingIsLeft()
    {
        Assert.Equal(Errno.EINVAL, _rig.Operate(S390Rig.Call(_rig.Function, vector: 0x1ff8, count: 128)));
        Assert.Equal(Errno.EINVAL, _rig.Operate(S390Rig.Call(_rig.Function, vector: 0x1ffc, count: 1)));
        Assert.Equal(Errno.EINVAL, _rig.Operate(S390Rig.Call(_rig.Function, summary: S390Rig.Summary + 4)));
        Assert.Equal(Errno.EINVAL, _rig.Operate(S390Rig.Call(_rig.Function, count: 0)));
        Assert.Equal(Errno.ERANGE, _rig.Operate(S390Rig.Call(_rig.Function, subclass: 8)));
        Assert.Equal(Errno.EIO, _rig.Operate(S390Rig.Call(_rig.Function, vector: 0x10_0000)));
        Assert.Equal(Errno.EIO, _rig.Operate(S390Rig.Call(_rig.Function, summary: 0x10_0000)));
        AssertNothingIsLeft();
        Assert.Null(Assert.Single(_rig.Vm.Zpci.All).Interrupts);
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function, vector: 0x1ff8, count: 64)));
    }

    [Theory]
    [InlineData(ZpciStatus.InsufficientResources)]
    [InlineData(ZpciStatus.SequenceError)]
    [Trait("Row", "S0-8")]
    public void Register_FirmwareRefuses_EIOAndAllBeforeItIsUndone(ZpciStatus status)
    {
        _rig.Refuse(ZpciModifyOperation.RegisterInterrupts, status);
        Assert.Equal(Errno.EIO, _rig.Operate(S390Rig.Call(_rig.Function)));
        AssertNothingIsLeft();
        _rig.RefuseNothing();
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function)));
    }

    [Fact]
    public void Register_FirmwareBusyForAWhile_IsAskedAgain()
    {
        int busy = 3;
        _rig.Firmware.ModifyFault = (_, _) => busy-- > 0 ? new ZpciAnswer(ZpciConditionCode.Busy) : null;
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function)));
        Assert.Equal(-1, busy);
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Register_OverTheLimitOfLockedMemory_ENOMEMAlsoForThePrivileged()
    {
        ulong page = LockedPages.LockedMemoryPage;
        var poor = new Caller(User, RawIo: true, LockMemory: true, 2 * page - 1);
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => _rig.Vm.Zpci.Operate(S390Rig.Call(_rig.Function), poor)));
        AssertNothingIsLeft();

        // Without a summary it is one page.
        _rig.Vm.Zpci.Operate(S390Rig.Call(_rig.Function, summary: 0), poor);
        Assert.Equal(1, _rig.Host.Ledger.Outstanding(ResourceKind.Pin));
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Deregister_ByAnotherUser_TheOneWhoWasChargedGetsItBack()
    {
        ulong page = LockedPages.LockedMemoryPage;
        var payer = new Caller(User, RawIo: false, LockMemory: false, 2 * page);
        using var rest = new LockedPages(_rig.Host, payer, evenIfPrivileged: true);
        _rig.Vm.Zpci.Operate(S390Rig.Call(_rig.Function), payer);
        Assert.Equal(Errno.ENOMEM, rest.Charge(1));
        _rig.Vm.Zpci.Operate(
            new KvmS390ZpciOp { FunctionHandle = _rig.Function.Handle, Operation = KvmS390ZpciOperation.DeregisterAen },
            new Caller(User + 1, RawIo: false, LockMemory: false, 0));
        Assert.Equal(Errno.None, rest.Charge(2));
    }

    [Fact]
    [Trait("Row", "S0-6")]
    public void Register_Twice_EINVALUntilItIsTakenBack()
    {
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function)));
        Assert.Equal(Errno.EINVAL, _rig.Operate(S390Rig.Call(_rig.Function)));
        Assert.Equal(Errno.None, _rig.Deregister(_rig.Function));

        // Nothing registered is what was wanted, too.
        Assert.Equal(Errno.None, _rig.Deregister(_rig.Function));
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function)));
    }

    [Fact]
    [Trait("Row", "S0-6")]
    public void Deregister_FirmwareRefuses_EIOAndStillForwarded()
    {
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function)));
        _rig.Refuse(ZpciModifyOperation.DeregisterInterrupts);
        Assert.Equal(Errno.EIO, _rig.Deregister(_rig.Function));
        Assert.Equal((2, 1), (_rig.Host.Ledger.Outstanding(ResourceKind.Pin), _rig.S390.Forwarded));
        Assert.True(_rig.Function.Signal(5));
        Assert.Equal(0x04, _rig.Byte(S390Rig.Vector));
        _rig.Gisa.Take();
        _rig.RefuseNothing();
        Assert.Equal(Errno.None, _rig.Deregister(_rig.Function));
        AssertNothingIsLeft();
    }

    [Theory]
    [InlineData(ZpciConditionCode.InvalidHandle, ZpciStatus.None)]
    [InlineData(ZpciConditionCode.Error, ZpciStatus.SequenceError)]
    [Trait("Row", "S0-8")]
    public void Deregister_FirmwareHasNothing_IsDone(ZpciConditionCode condition, ZpciStatus status)
    {
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function)));
        _rig.Firmware.ModifyFault = (_, o) => o == ZpciModifyOperation.DeregisterInterrupts ? new ZpciAnswer(condition, status) : null;
        Assert.Equal(Errno.None, _rig.Deregister(_rig.Function));
        AssertNothingIsLeft();

        // What firmware has all the same goes nowhere: the page may be somebody else's by now.
        _rig.Function.Signal(0);
        Assert.Equal(0, _rig.Byte(S390Rig.Vector));
    }

    [Fact]
    [Trait("Row", "S0-20")]
    public void Deregister_GuestMemoryChangedMeanwhile_UsesWhatWasSaved()
    {
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function)));
        ZpciFib saved = Interrupts().SavedFib;
        ProcessMemory other = ProcessMemory.Allocate(0x4_0000, _rig.Host.Ledger);
        _rig.Vm.Memory.Remove(0);
        _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, 0x4_0000, other));

        // Pinned is pinned: the page that the guest gave then.
        Assert.True(_rig.Function.Signal(0));
        Assert.Equal((0x80, 0), (_rig.Byte(S390Rig.Vector), other.Span(S390Rig.Vector, 1)[0]));
        Assert.Equal(saved, Interrupts().SavedFib);
        _rig.Gisa.Take();
        Assert.Equal(Errno.None, _rig.Deregister(_rig.Function));
        AssertNothingIsLeft();
        other.Release();
    }

    [Fact]
    [Trait("Row", "S0-20")]
    public void Close_StillRegisteredAndFirmwareRefuses_NothingIsPinnedOrDelivered()
    {
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function)));
        _rig.Refuse(ZpciModifyOperation.DeregisterInterrupts);
        _rig.File.Dispose();
        AssertNothingIsLeft();
        Assert.Empty(_rig.Vm.Zpci.All);
        Assert.Equal((true, 0u), (_rig.Function.IsEnabled, _rig.Function.Designation));
        Assert.False(_rig.Function.Signal(0));
        Assert.Equal(0, _rig.Byte(S390Rig.Vector));
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Register_MoreFunctionsThanSummaryBits_ENOMEMUntilOneIsFree()
    {
        using var small = new S390Rig(functions: 40);
        List<(ZpciVfioPciDevice Device, VfioDeviceFile File)> all = [];
        for (ushort i = 1; i <= 41; i++)
        {
            ZpciVfioPciDevice device = small.AddFunction(i);
            all.Add((device, small.Open(device)));
        }

        for (int i = 0; i < 40; i++)
        {
            Assert.Equal(Errno.None, small.Operate(At(i)));
        }

        Assert.Equal(Errno.ENOMEM, small.Operate(At(40)));
        Assert.Equal((40, 80), (small.S390.Forwarded, small.Host.Ledger.Outstanding(ResourceKind.Pin)));

        // Every entry is its own, whatever its number, by firmware and by the host.
        foreach (bool byFirmware in new[] { true, false })
        {
            small.Firmware.CanReachGuests = byFirmware;
            for (int i = 0; i < 40; i++)
            {
                Assert.True(all[i].Device.Zpci!.Signal(1));
                Assert.Equal((0x40, 0x80), (small.Byte(Page(i)), small.Byte(Page(i) + 0x800)));
                Assert.Equal(0x80 >> (i % 8), small.Gisa.Take());
                small.Guest.Span(Page(i), 0x1000).Clear();
            }
        }

        Assert.Equal((40, 40), (small.Gisa.PostedByFirmware, small.Gisa.ForwardedByHost));
        Assert.Equal(Errno.None, small.Deregister(all[17].Device.Zpci!));
        Assert.Equal(Errno.None, small.Operate(At(40)));
        all.ForEach(static a => a.File.Dispose());

        KvmS390ZpciOp At(int i) => S390Rig.Call(
            all[i].Device.Zpci!, vector: Page(i), summary: Page(i) + 0x800, subclass: i % 8, summaryBit: 0);

        static ulong Page(int i) => (ulong)(i + 1) * 0x1000;
    }

    private AdapterInterrupts Interrupts() => Assert.Single(_rig.Vm.Zpci.All).Interrupts!;

    private void AssertNothingIsLeft()
    {
        Assert.Equal(0, _rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        Assert.Equal(0, _rig.S390.Forwarded);
        Assert.Equal(0, _rig.Gisa.Wanted);
    }
}
