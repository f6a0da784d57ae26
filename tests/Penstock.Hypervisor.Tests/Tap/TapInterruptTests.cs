using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.S390;
using Penstock.Specs.Pci;
using Penstock.Specs.Zpci;
using Penstock.Vfio;
using static Penstock.Hypervisor.Tests.Tap.TapInterruptGuest;
using static Penstock.Hypervisor.Tests.Tap.TappedFunction;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>Interrupts into a tapped guest's indicators; plugin and guest are the test.</summary>
public sealed class TapInterruptTests : IDisposable
{
    private readonly HypervisorRig _rig = new();
    private readonly ProcessMemory _guest;
    private readonly MsixCapability _msix = Msix;
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
        _plugin.Mpcifc(Handle, InterruptFib(), ZpciModifyOperation.RegisterInterrupts);
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

    [Theory]
    [InlineData("refused")]
    [InlineData("no summary")]
    [InlineData("directed")]
    [InlineData("nowhere")]
    [InlineData("one processor")]
    public void Registration_ThatCannotBeServed_IsQemus(string why)
    {
        _plugin.Processors = why == "one processor" ? 1u : 2u;
        ZpciFib fib = InterruptFib();
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
        Assert.Equal(0, AllocatedBytes.In(1000, i => _interrupts.Indicate(i % Vectors)));
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

    private void Store(ulong offset, ushort length, ulong value) => TapInterruptGuest.Store(_plugin, offset, length, value);

    private void StoreControl(int control) => _plugin.Call(
        TapCallKind.Store, Request(ZpciRegister.ConfigurationSpace, 2), (ulong)_msix.Offset + PciMsix.Control, BinaryPrimitives.ReverseEndianness((ushort)control));

    private void WriteEntry(int vector, uint control) => TapInterruptGuest.WriteEntry(_plugin, vector, control);

    private void Enable() => TapInterruptGuest.Enable(_plugin);

    private void Register() => TapInterruptGuest.Register(_plugin);
}
