using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.S390;
using Penstock.Specs.Pci;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>Interrupts into a tapped guest's indicators; plugin and guest are the test.</summary>
public sealed class TapInterruptTests : IDisposable
{
    private const uint FunctionId = 9;
    private const uint Disabled = 0x0002_0000;
    private const uint Handle = Disabled | ZpciHandle.Enabled;
    private const ulong First = 0x1_0000_0000;
    private const ulong Last = 0x1_1fff_ffff;
    private const ulong Vector = 0x1000;
    private const ulong Summary = 0x2000;
    private const uint Table = 0x2000;
    private const int Vectors = 4;
    private const int VectorOffset = 3;
    private const int SummaryOffset = 10;
    private const int MaskOffset = 12;
    private const byte Bar = 2;

    private readonly HypervisorRig _rig = new();
    private readonly ProcessMemory _guest;
    private readonly MsixCapability _msix = new(Vectors, Bar, Table, Bar, 0x3000);
    private readonly TapInterrupts _interrupts;
    private readonly TapSession _tap;
    private readonly FakePlugin _plugin;

    public TapInterruptTests()
    {
        _guest = ProcessMemory.Allocate(0x4000, _rig.Host.Ledger);
        _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, 0x4000, _guest, 0, false));
        _interrupts = new TapInterrupts(_rig.Vm.Memory, _msix, null);
        _tap = new TapSession(new TapSessionOptions { FunctionId = FunctionId, Interrupts = _interrupts });
        _plugin = new FakePlugin(_tap) { Processors = 2 };
        _tap.Start();
    }

    public void Dispose()
    {
        _plugin.Dispose();
        _tap.Dispose();
        _guest.Release();
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Message_SummaryClearOrSet_BitAlwaysAndProdOnlyWhenClear()
    {
        Register();
        Assert.True(_tap.IndicatesInterrupts);
        Assert.False(_interrupts.Indicate(0));

        // QEMU's part, on the prod.
        _guest.Write(Summary, [0, 0x20]);
        Assert.True(_interrupts.Indicate(1));
        Assert.True(_interrupts.Indicate(3));

        // The message's data says the bit, not the vector's place in the table.
        Assert.Equal([0x18, 0x80, 0, 0, 0, 0, 0, 0], _guest.Span(Vector, 8).ToArray());
        Assert.Equal([0, 0x20, 0, 0, 0, 0, 0, 0], _guest.Span(Summary, 8).ToArray());
        Assert.Equal(new TapInterruptCounters(Indicated: 3, Prods: 1), _tap.InterruptCounters);
        Assert.Equal(2, _tap.InterruptCounters.ProdsSaved);
    }

    [Theory]
    [InlineData("vector")]
    [InlineData("all")]
    [InlineData("block store")]
    [InlineData("block store of all")]
    [InlineData("half an entry by block store")]
    [InlineData("other address")]
    [InlineData("eight bytes")]
    public void Masked_OrNotKnown_IsQemusUntilUnmasked(string way)
    {
        Register();
        switch (way)
        {
            case "vector":
                Store(Entry(1) + MaskOffset, 4, PciMsix.VectorMasked);
                break;
            case "all":
                StoreControl(PciMsix.Enable | PciMsix.FunctionMask);
                break;
            case "block store":
                _plugin.Call(TapCallKind.BlockStore, Request(Bar, 16), Entry(1));
                break;
            case "block store of all":
                _plugin.Call(TapCallKind.BlockStore, Request(ZpciRegister.ConfigurationSpace, 16), (ulong)_msix.Offset);
                break;
            case "half an entry by block store":
                _plugin.Call(TapCallKind.BlockStore, Request(Bar, 16), Entry(1) - 8);
                break;
            case "other address":
                Store(Entry(1) + 4, 4, 0xfee0_0000);
                break;
            default:
                Store(Entry(1) + 8, 8, 1 | ((ulong)PciMsix.VectorMasked << 32));
                break;
        }

        Assert.False(_interrupts.Indicate(1));
        Assert.Equal(0, _guest.Span(Vector, 1)[0]);
        Assert.Equal(0, _tap.InterruptCounters.Indicated);

        WriteEntry(1, 0);
        StoreControl(PciMsix.Enable);
        Assert.False(_interrupts.Indicate(1));
        Assert.Equal(0x08, _guest.Span(Vector, 1)[0]);
    }

    [Fact]
    public void NotUnmaskedYet_IsQemus()
    {
        Enable();
        _plugin.Mpcifc(Handle, Fib(ZpciModifyOperation.RegisterInterrupts), ZpciModifyOperation.RegisterInterrupts);
        Assert.False(_tap.IndicatesInterrupts);
        Store(Entry(0) + MaskOffset, 4, 0);
        Assert.False(_tap.IndicatesInterrupts);
        WriteEntry(0, 0);
        Assert.True(_tap.IndicatesInterrupts);
        Assert.False(_interrupts.Indicate(1));
        Assert.Equal(0, _guest.Span(Vector, 1)[0]);
    }

    [Theory]
    [InlineData("deregister")]
    [InlineData("deregister tables")]
    [InlineData("disable")]
    [InlineData("enable")]
    [InlineData("unmap")]
    [InlineData("new handle")]
    [InlineData("error")]
    [InlineData("given up")]
    [InlineData("dispose")]
    public void Registration_GoesInManyWays_AllIsQemus(string way)
    {
        Register();
        Assert.False(_interrupts.Indicate(0));
        _guest.Write(Vector, new byte[8]);
        switch (way)
        {
            case "deregister":
                _plugin.Mpcifc(Handle, ZpciModifyOperation.DeregisterInterrupts);
                break;
            case "deregister tables":
                _plugin.Mpcifc(Handle, ZpciModifyOperation.DeregisterIoat);
                break;
            case "disable":
                _plugin.Set(ZpciSetOperation.Disable, Handle, Disabled);
                break;
            case "enable":
                _plugin.Set(ZpciSetOperation.Enable, Disabled, Handle);
                break;
            case "unmap":
                _tap.AnchorLost();
                break;
            case "new handle":
                _plugin.List(FunctionId, Disabled | 7);
                break;
            case "error":
                _plugin.Mpcifc(Handle, ZpciModifyOperation.ResetError);
                break;
            case "given up":
                _plugin.GiveUp();
                break;
            default:
                _tap.Dispose();
                break;
        }

        Assert.False(_interrupts.Indicate(0));
        Assert.Equal(0, _guest.Span(Vector, 1)[0]);
        Assert.Equal(1, _tap.InterruptCounters.Indicated);
    }

    /// <summary>QEMU has removed the whole address space and is answered when <see cref="TapSession.AnchorLost"/> returns: what was the indicators' memory is another's then.</summary>
    [Fact]
    public void AnchorLost_WhileTheTapsThreadIsBusy_NothingIsWrittenAfterwards()
    {
        using var target = new BusyTapTarget();
        var interrupts = new TapInterrupts(_rig.Vm.Memory, _msix, null);
        using var tap = new TapSession(new TapSessionOptions { FunctionId = FunctionId, Interrupts = interrupts, Target = target, CommandTime = TimeSpan.FromMilliseconds(1) });
        using var plugin = new FakePlugin(tap) { Processors = 2 };
        tap.Start();
        Register(plugin);
        Assert.True(tap.IndicatesInterrupts);
        tap.SwitchTo(RpcitPath.Shadow);
        target.AwaitBusy();

        tap.AnchorLost();

        Assert.True(target.IsBusy);
        Assert.False(interrupts.Indicate(0));
        Assert.Equal(default, tap.InterruptCounters);
        Assert.Equal(0, _guest.Span(Vector, 1)[0]);

        // And it is not for ever.
        target.GoOn();
        Register(plugin);
        Assert.True(tap.IndicatesInterrupts);
    }

    [Fact]
    public void Loss_UntilTheTapsThreadKnows_NothingMakesInterruptsDirect()
    {
        Register();
        _interrupts.Lose();
        Store(Entry(0) + MaskOffset, 4, 0);
        Assert.False(_tap.IndicatesInterrupts);
        Assert.False(_interrupts.Indicate(0));
        Assert.Equal(0, _guest.Span(Vector, 1)[0]);

        _interrupts.EndLoss();
        Store(Entry(0) + MaskOffset, 4, 0);
        Assert.True(_tap.IndicatesInterrupts);
    }

    [Theory]
    [InlineData("refused")]
    [InlineData("no summary")]
    [InlineData("directed")]
    [InlineData("nowhere")]
    [InlineData("one processor")]
    public void Registration_ThatCannotBeServed_IsQemus(string why)
    {
        _plugin.Processors = why == "one processor" ? 1u : 2u;
        ZpciFib fib = Fib(ZpciModifyOperation.RegisterInterrupts);
        fib.InterruptWord = (new ZpciInterruptWord(fib.InterruptWord) with { HasSummary = why != "no summary" }).Value;
        fib.Format = why == "directed" ? ZpciFib.DirectedInterrupts : ZpciFib.AdapterInterrupts;
        fib.VectorAddress = why == "nowhere" ? 1ul << 40 : fib.VectorAddress;
        Enable();
        WriteEntry(0, 0);
        _plugin.Mpcifc(Handle, fib, ZpciModifyOperation.RegisterInterrupts, why == "refused" ? 1u : 0);

        Assert.False(_tap.IndicatesInterrupts);
        Assert.False(_interrupts.Indicate(0));
    }

    [Fact]
    public void Indicate_AllocatesNothing()
    {
        Register();
        _interrupts.Indicate(0);
        // A collection that other tests cause may be booked here; what this allocated itself would be there in each window.
        long least = long.MaxValue;
        for (int window = 0; window < 5 && least != 0; window++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 1000; i++)
            {
                _interrupts.Indicate(i % Vectors);
            }

            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    /// <summary>A device that signals as fast as it can, a VMM that does what QEMU does on a prod, and a guest that masks a vector now and then.</summary>
    [Fact]
    [Trait("Row", "S0-8")]
    public void Messages_WhileTheGuestTakesThem_NoneIsLost()
    {
        const int Rounds = 2000;
        Register();
        nint summary = _guest.DirectAddress + (nint)Summary;
        nint bits = _guest.DirectAddress + (nint)Vector;
        using var prods = new SemaphoreSlim(0);
        int sent = 0;
        int taken = 0;
        var device = new Thread(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                // The next one when the guest has seen this: any that is lost would be the last.
                Volatile.Write(ref sent, i + 1);
                if (!_interrupts.Indicate(1))
                {
                    prods.Release();
                }

                if (!SpinWait.SpinUntil(() => Volatile.Read(ref taken) == i + 1, HypervisorRig.Patience))
                {
                    return;
                }
            }
        });
        var vmm = new Thread(() =>
        {
            while (prods.Wait(HypervisorRig.Patience) && Volatile.Read(ref sent) <= Rounds && Volatile.Read(ref taken) < Rounds)
            {
                IndicatorBits.TestAndSet(bits, VectorOffset + 1);
                IndicatorBits.TestAndSet(summary, SummaryOffset);
            }
        });
        device.Start();
        vmm.Start();
        var masks = new Random(3);
        while (device.IsAlive)
        {
            if (IndicatorBits.TestAndClear(summary, SummaryOffset) && IndicatorBits.TestAndClear(bits, VectorOffset + 1))
            {
                Volatile.Write(ref taken, Volatile.Read(ref sent));
            }

            if (masks.Next(1000) == 0)
            {
                Store(Entry(2) + MaskOffset, 4, PciMsix.VectorMasked);
                Store(Entry(2) + MaskOffset, 4, 0);
            }
        }

        device.Join();
        Assert.Equal(Rounds, Volatile.Read(ref taken));
        prods.Release();
        vmm.Join();
    }

    private static ulong Entry(int vector) => Table + (ulong)(vector * PciMsix.EntrySize);

    private static ulong Request(byte space, ushort length) => (new ZpciRegister(0) with { Handle = Handle, Space = space, AccessLength = length }).Value;

    private static ZpciFib Fib(ZpciModifyOperation operation) => operation == ZpciModifyOperation.RegisterIoat
        ? new ZpciFib { FirstAddress = First, LastAddress = Last, Iota = 0x1_0804 }
        : new ZpciFib
        {
            VectorAddress = Vector,
            SummaryAddress = Summary,
            InterruptWord = (new ZpciInterruptWord(0) with { Interrupts = 40, VectorOffset = VectorOffset, HasSummary = true, SummaryOffset = SummaryOffset }).Value,
        };

    /// <summary>A store as a guest makes it: the register's rightmost bytes, which are the little-endian value's turned around.</summary>
    private void Store(ulong offset, ushort length, ulong value) => Store(_plugin, offset, length, value);

    private static void Store(FakePlugin plugin, ulong offset, ushort length, ulong value)
    {
        ulong register = BinaryPrimitives.ReverseEndianness(value) >> (64 - (8 * length));
        plugin.Call(TapCallKind.Store, Request(Bar, length), offset, register);
    }

    private void StoreControl(int control) => _plugin.Call(
        TapCallKind.Store, Request(ZpciRegister.ConfigurationSpace, 2), (ulong)_msix.Offset + PciMsix.Control, BinaryPrimitives.ReverseEndianness((ushort)control));

    private void WriteEntry(int vector, uint control) => WriteEntry(_plugin, vector, control);

    private static void WriteEntry(FakePlugin plugin, int vector, uint control)
    {
        Store(plugin, Entry(vector), 4, unchecked((uint)ZpciLimits.MsiAddress));
        Store(plugin, Entry(vector) + 4, 4, (uint)(ZpciLimits.MsiAddress >> 32));

        // The last one's message is another than its place.
        Store(plugin, Entry(vector) + 8, 4, vector == Vectors - 1 ? 5u : (uint)vector);
        Store(plugin, Entry(vector) + MaskOffset, 4, control);
    }

    private void Enable() => Enable(_plugin);

    private static void Enable(FakePlugin plugin)
    {
        plugin.List(FunctionId, Disabled);
        plugin.Set(ZpciSetOperation.Enable, Disabled, Handle);
        plugin.Mpcifc(Handle, Fib(ZpciModifyOperation.RegisterIoat), ZpciModifyOperation.RegisterIoat);
        Assert.Equal((Handle, Bar, (ulong)Table, Table + (ulong)(Vectors * PciMsix.EntrySize) - 1), plugin.Watched(0));
        Assert.Equal((Handle, ZpciRegister.ConfigurationSpace), (plugin.Watched(1).Handle, plugin.Watched(1).Space));
    }

    private void Register() => Register(_plugin);

    private static void Register(FakePlugin plugin)
    {
        Enable(plugin);
        for (int vector = 0; vector < Vectors; vector++)
        {
            WriteEntry(plugin, vector, 0);
        }

        plugin.Mpcifc(Handle, Fib(ZpciModifyOperation.RegisterInterrupts), ZpciModifyOperation.RegisterInterrupts);
    }
}
