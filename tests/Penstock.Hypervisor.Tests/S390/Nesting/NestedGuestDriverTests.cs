using System.Text;
using Penstock.Devices;
using Penstock.Hypervisor.Tests.S390.Guest;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>A guest's NVMe driver whose tables are the device's: it sees what it sees with the VMM's own path, and no map call is made.</summary>
public sealed class NestedGuestDriverTests : IDisposable
{
    private const int Model = 24;

    private readonly ZpciGuestRig _rig = new();
    private readonly ServedDevice _served = DeviceCatalog.BuiltIn.Create("nvme", new Dictionary<string, string> { ["size"] = "1M" });
    private readonly List<IDisposable> _owned = [];

    private VfioHost Host => _rig.Machine.Host;

    public void Dispose()
    {
        // The host's tables go before the function that keeps the mode: it finds that they are not lent to it any more.
        _owned.ForEach(static o => o.Dispose());
        _rig.Dispose();
        _served.Dispose();
        Assert.Equal(0, Host.Ledger.Outstanding(ResourceKind.Pin));
    }

    [Theory]
    [InlineData(NestingMode.Shadow)]
    [InlineData(NestingMode.Walked)]
    [Trait("Row", "S3-3")]
    [Trait("Row", "S3-9")]
    public void Driver_FromEnableToDisable_SeesWhatItAlwaysSeesWithoutOneMap(NestingMode kind)
    {
        ZpciGuestFunction function = _rig.Plug(_served.Function);
        int available = _rig.LastContainer!.AvailableMappings;
        INestedTranslation mode = MakeMode(kind);
        function.SetMode(mode);
        using GroupLending lending = Host.Groups[^1].Lend(mode.Domain);
        var driver = new NvmeGuestDriver(_rig);
        for (int life = 0; life < 2; life++)
        {
            driver.Enable();
            driver.Register();
            driver.Start();
            Assert.Equal(ZpciConditionCode.Done, driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress).ConditionCode);
            Assert.Equal(default, driver.Identify().Status);
            Span<byte> data = _rig.Memory.Span(NvmeGuestDriver.DataAddress, 0x1000);
            Assert.StartsWith("Penstock", Encoding.ASCII.GetString(data[Model..][..40]), StringComparison.Ordinal);
            data.Clear();

            driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress, writable: false);
            Assert.NotEqual(default, driver.Identify().Status);
            driver.Unmap(NvmeGuestDriver.DataIova);
            Assert.NotEqual(default, driver.Identify().Status);
            Assert.False(data.ContainsAnyExcept((byte)0));
            Assert.Equal(available, _rig.LastContainer!.AvailableMappings);
            Assert.True(mode.PinnedPages > 0);
            Assert.Equal(ZpciClpResponse.Ok, _rig.Set(function, ZpciSetOperation.Disable));
            Assert.Equal((0, 0), (mode.Pins, mode.PinnedPages));
        }
    }

    [Theory]
    [InlineData(NestingMode.Shadow)]
    [InlineData(NestingMode.Walked)]
    [Trait("Row", "S3-3")]
    public void Refresh_OfAWrongEntry_IsTheSameErrorAndRecovery(NestingMode kind)
    {
        ZpciGuestFunction function = _rig.Plug(_served.Function);
        INestedTranslation mode = MakeMode(kind);
        function.SetMode(mode);
        using GroupLending lending = Host.Groups[^1].Lend(mode.Domain);
        var driver = new NvmeGuestDriver(_rig);
        driver.Enable();
        driver.Register();
        driver.Start();
        driver.Tables.Spoil(NvmeGuestDriver.DataIova, 0);

        ZpciResult result = driver.Refresh(NvmeGuestDriver.DataIova);

        Assert.Equal((ZpciConditionCode.Error, ZpciStatus.FunctionInError), (result.ConditionCode, result.Status));
        ZpciErrorEventBlock told = ZpciErrorEventBlock.Read(Assert.Single(_rig.TakeEvents()).Block.Span);
        Assert.Equal((ZpciErrorEvent.InvalidTableEntry, NvmeGuestDriver.DataIova, driver.Handle), (told.Code, told.Address, told.Handle));
        Assert.Equal(ZpciConditionCode.Done, driver.Modify(ZpciModifyOperation.ResetBlock));
        Assert.Equal(ZpciConditionCode.Done, driver.Modify(ZpciModifyOperation.ResetError));
        Assert.Equal(ZpciConditionCode.Done, driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress).ConditionCode);
        Assert.Equal(default, driver.Identify().Status);
    }

    private INestedTranslation MakeMode(NestingMode kind)
    {
        GuestMemory memory = _rig.Machine.Vm.Memory;
        var payer = new LockedPages(Host, NestingRig.User());
        if (kind == NestingMode.Walked)
        {
            return new WalkedRefresh(memory, payer);
        }

        var tables = new ZpciDomain(new ZpciDomainSetup { Ledger = Host.Ledger });
        _owned.Add(tables);
        return new ShadowRefresh(memory, payer, tables);
    }
}
