using System.Buffers.Binary;
using Penstock.Specs.Pci;
using Penstock.Specs.Zpci;
using Penstock.Vfio;
using static Penstock.Hypervisor.Tests.Tap.TapInterruptGuest;
using static Penstock.Hypervisor.Tests.Tap.TappedFunction;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>How interrupts into a tapped guest's indicators end when nobody can wait for the tap's thread.</summary>
public sealed class TapInterruptEndTests : IDisposable
{
    private readonly HypervisorRig _rig = new();
    private readonly ProcessMemory _guest;

    public TapInterruptEndTests()
    {
        _guest = ProcessMemory.Allocate(0x4000, _rig.Host.Ledger);
        _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, 0x4000, _guest, 0, false));
    }

    public void Dispose()
    {
        _guest.Release();
        _rig.Dispose();
    }

    /// <summary>QEMU has removed the whole address space and is answered when <see cref="TapSession.AnchorLost"/> returns: what was the indicators' memory is another's then.</summary>
    [Fact]
    public void AnchorLost_WhileTheTapsThreadIsBusy_NothingIsWrittenAfterwards()
    {
        using var target = new BusyTapTarget();
        var interrupts = new TapInterrupts(_rig.Vm.Memory, Msix, null);
        using var tap = new TapSession(new TapSessionOptions { FunctionId = FunctionId, Interrupts = interrupts, Target = target, CommandTime = TimeSpan.FromMilliseconds(1) });
        using var plugin = new FakePlugin(tap) { Processors = 2 };
        tap.Start();
        Register(plugin);
        Assert.True(tap.IndicatesInterrupts);
        tap.SwitchTo(RpcitPath.Shadow);
        target.AwaitBusy();

        tap.AnchorLost();

        Assert.True(target.IsBusy);
        Assert.Equal(1, target.Losses);
        Assert.False(interrupts.Indicate(0));
        Assert.Equal(default, tap.InterruptCounters);
        Assert.Equal(0, _guest.Span(Vector, 1)[0]);

        // And it is not for ever.
        target.GoOn();
        Register(plugin);
        Assert.True(tap.IndicatesInterrupts);
        Assert.Equal(0, target.Losses);
    }

    /// <summary>The tap's thread is not there to end it: only the look before each write is.</summary>
    [Fact]
    [Trait("Row", "S0-8")]
    public void GivenUp_WhileADeviceSignals_NothingIsWrittenOnceThePluginGoesOn()
    {
        const int Rounds = 300;
        using var channel = new TapChannel();
        using var plugin = new FakePlugin(channel.Path) { Processors = 2 };
        var interrupts = new TapInterrupts(_rig.Vm.Memory, Msix, null);
        interrupts.Follow(channel, Handle);
        interrupts.SetTables(true);
        foreach ((ulong offset, uint value) in (ReadOnlySpan<(ulong, uint)>)
            [(0, unchecked((uint)ZpciLimits.MsiAddress)), (4, (uint)(ZpciLimits.MsiAddress >> 32)), (8, 0), (MaskOffset, 0)])
        {
            ulong register = BinaryPrimitives.ReverseEndianness(value);
            interrupts.Store(new TapCall(TapCallKind.Store, Request(Bar, 4), Entry(0) + offset, register, 0, 0, 0));
        }

        interrupts.Modified(ZpciModifyOperation.RegisterInterrupts, InterruptFib());
        Assert.True(interrupts.IsDirect);
        bool stop = false;
        var device = new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                interrupts.Indicate(0);
            }
        });
        device.Start();
        int late = 0;
        for (int round = 0; round < Rounds; round++)
        {
            long before = interrupts.Counters.Indicated;
            SpinWait.SpinUntil(() => interrupts.Counters.Indicated != before, HypervisorRig.Patience);
            plugin.GiveUpAndAwaitLeave();
            _guest.Write(Vector, new byte[8]);
            Thread.SpinWait(200);
            late += _guest.Span(Vector, 1)[0] == 0 ? 0 : 1;
            plugin.Resume();
        }

        Volatile.Write(ref stop, true);
        device.Join();
        interrupts.End();
        Assert.Equal(0, late);
        Assert.True(interrupts.Counters.Indicated >= Rounds);
    }

    [Fact]
    public void Loss_UntilTheTapsThreadKnows_NothingMakesInterruptsDirect()
    {
        var interrupts = new TapInterrupts(_rig.Vm.Memory, Msix, null);
        using var tap = new TapSession(new TapSessionOptions { FunctionId = FunctionId, Interrupts = interrupts });
        using var plugin = new FakePlugin(tap) { Processors = 2 };
        tap.Start();
        Register(plugin);
        interrupts.Lose();
        Store(plugin, Entry(0) + MaskOffset, 4, 0);
        Assert.False(tap.IndicatesInterrupts);
        Assert.False(interrupts.Indicate(0));
        Assert.Equal(0, _guest.Span(Vector, 1)[0]);

        interrupts.EndLoss();
        Store(plugin, Entry(0) + MaskOffset, 4, 0);
        Assert.True(tap.IndicatesInterrupts);
    }
}
