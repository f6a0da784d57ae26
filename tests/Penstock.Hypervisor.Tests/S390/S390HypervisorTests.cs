using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>What a hypervisor registers with firmware once, and what stays of it when it is unloaded.</summary>
public sealed class S390HypervisorTests : IDisposable
{
    private readonly ResourceLedger _ledger = new();
    private readonly ZpciFirmware _firmware;

    public S390HypervisorTests() => _firmware = new ZpciFirmware(ledger: _ledger);

    public void Dispose()
    {
        _firmware.Dispose();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Load_First_RegistersTheTables()
    {
        using var hypervisor = new S390Hypervisor(_firmware, new S390HypervisorOptions { NotificationSubclass = 6, Functions = 100 });
        ZpciAipb parameters = _firmware.Parameters!.Value;
        Assert.Equal((6, 100), (parameters.ForwardingSubclass, parameters.Entries));
        Assert.NotEqual(0ul, parameters.SummaryVector);
        Assert.Equal(0ul, parameters.SummaryVector % 8);
        Assert.NotEqual(parameters.SummaryVector, parameters.Table);
        Assert.True(hypervisor.CanInterpret);
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Load_Again_SameTablesAndOnlyWithTheSameSubclass()
    {
        new S390Hypervisor(_firmware).Dispose();
        ZpciAipb first = _firmware.Parameters!.Value;
        Assert.Equal(Errno.EINVAL, ErrnoOf(new S390HypervisorOptions { NotificationSubclass = 4 }));
        using (new S390Hypervisor(_firmware))
        {
            Assert.Equal(first, _firmware.Parameters);
            Assert.Equal(Errno.EBUSY, ErrnoOf(new S390HypervisorOptions()));
        }

        using (new S390Hypervisor(_firmware, new S390HypervisorOptions { Functions = 8 }))
        {
            Assert.Equal(first, _firmware.Parameters);
        }
    }

    [Fact]
    public void Load_MoreFunctionsThanFirmwareKnows_EINVALUntilTheHostIsStartedAnew()
    {
        new S390Hypervisor(_firmware, new S390HypervisorOptions { Functions = 8 }).Dispose();
        Assert.Equal(Errno.EINVAL, ErrnoOf(new S390HypervisorOptions()));
        using var anew = new ZpciFirmware();
        new S390Hypervisor(anew).Dispose();
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(8, 1)]
    [InlineData(5, 0)]
    [InlineData(5, 513)]
    public void Load_NumbersThatCannotBe_ERANGE(int subclass, int functions) =>
        Assert.Equal(Errno.ERANGE, ErrnoOf(new S390HypervisorOptions { NotificationSubclass = subclass, Functions = functions }));

    [Fact]
    public void Load_NoEventNotification_WorksWithoutTables()
    {
        using var firmware = new ZpciFirmware(new ZpciMachine { Assists = ZpciAssists.None });
        using var hypervisor = new S390Hypervisor(firmware);
        Assert.Null(firmware.Parameters);
        Assert.Equal((false, 0), (hypervisor.CanInterpret, hypervisor.Forwarded));
        firmware.Raise(new HostInterrupt(hypervisor.NotificationSubclass, IsForwarded: true));
    }

    [Fact]
    public void CreateVm_MoreThanFit_ENOMEMAndTheOthersGoOn()
    {
        using var host = new VfioHost();
        using var hypervisor = new S390Hypervisor(_firmware);
        var kvm = new SimulatedKvm(host, hypervisor);
        List<SimulatedVm> machines = [];
        Errno errno = Errno.None;
        while (errno == Errno.None)
        {
            errno = Outcomes.ErrnoOf(() => machines.Add(kvm.CreateVm()));
        }

        Assert.Equal(Errno.ENOMEM, errno);
        Assert.InRange(machines.Count, 1000, (int)HostStorage.Length / ZpciGisa.Length);
        machines[5].Dispose();
        machines.Add(kvm.CreateVm());
        machines.ForEach(static m => m.Dispose());
        Assert.Equal(0, hypervisor.Warnings);
    }

    private Errno ErrnoOf(S390HypervisorOptions options) => Outcomes.ErrnoOf(() => new S390Hypervisor(_firmware, options).Dispose());
}
