using Penstock.Devices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>The same driver and the same device, whatever makes the guest's tables the device's.</summary>
public sealed class GuestModesTests
{
    private const ulong ReadOnlyAddress = 2 * ZpciGuestRig.MemorySize;

    [Theory]
    [InlineData(null)]
    [InlineData(NestingMode.Shadow)]
    [InlineData(NestingMode.Walked)]
    [Trait("Row", "S3-3")]
    [Trait("Row", "S3-13")]
    public void Driver_InEachMode_SeesTheSame(NestingMode? mode)
    {
        using var rig = new ZpciGuestRig();
        rig.Machine.Vm.Memory.Add(new GuestMemorySlot(1, ReadOnlyAddress, 0x1000, rig.Memory, IsReadOnly: true));
        using ServedDevice served = DeviceCatalog.BuiltIn.Create("nvme", new Dictionary<string, string> { ["size"] = "1M" });
        ZpciKvmDriver? nesting = null;
        if (mode is { } nested)
        {
            nesting = new ZpciKvmDriver(nested);
            rig.Machine.Host.AddBackendDriver(nesting);
        }

        VfioDeviceFile file = rig.Open(served.Function, type: mode is null ? VfioIommuType.Type1V2 : (VfioIommuType)ZpciNesting.KvmOwnedContainer);
        ZpciGuestFunction function = rig.Bus.Plug(file, new ZpciFunctionOptions { Container = rig.LastContainer, Nesting = nesting, RelaxedTranslation = false });
        Assert.Equal(mode is null ? "fallback" : mode == NestingMode.Shadow ? "shadow" : "nested", function.Mode!.Name);
        var driver = new NvmeGuestDriver(rig);
        driver.Enable();
        driver.Register();
        driver.Start();
        var seen = new List<string>();
        void See(ZpciResult result) => seen.Add($"{result.ConditionCode} {(byte)result.Status} {function.State}");
        void Identify() => seen.Add(driver.Identify().Status == default ? "arrives" : "is refused");

        See(driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress));
        Identify();
        See(driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress, writable: false));
        Identify();
        See(driver.Unmap(NvmeGuestDriver.DataIova));
        Identify();
        See(driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress + 0x1000));
        Identify();
        See(driver.Map(NvmeGuestDriver.DataIova, ReadOnlyAddress));
        Identify();
        driver.Tables.Spoil(NvmeGuestDriver.DataIova, 0);
        See(driver.Refresh(NvmeGuestDriver.DataIova));
        See(driver.Refresh(NvmeGuestDriver.DataIova));
        Assert.Equal(ZpciConditionCode.Done, driver.Modify(ZpciModifyOperation.ResetError));
        See(driver.Refresh(0));
        Assert.Equal([ZpciErrorEvent.InvalidTableEntry, ZpciErrorEvent.AddressOutOfRange], rig.TakeErrors());
        Assert.Equal(
            [
                "Done 0 Enabled", "arrives", "Done 0 Enabled", "is refused", "Done 0 Enabled", "is refused", "Done 0 Enabled", "arrives",
                "Done 0 Enabled", "is refused", "Error 8 Error", "Error 40 Error", "Error 8 Error",
            ],
            seen);

        // Tables that begin where there is no memory: that shows when they are refreshed.
        Assert.Equal(ZpciConditionCode.Done, driver.Modify(ZpciModifyOperation.ResetError));
        Assert.Equal(ZpciConditionCode.Done, driver.Modify(ZpciModifyOperation.ReregisterIoat, ControlsTests.Ioat(ZpciGuestRig.MemorySize | ZpciIota.RegionThirdFlags)));
        Assert.Equal(ZpciStatus.FunctionInError, driver.Refresh(NvmeGuestDriver.DataIova).Status);
        Assert.Equal([ZpciErrorEvent.InvalidTableEntry], rig.TakeErrors());

        // Nothing is left when the guest gives it back.
        Assert.Equal(ZpciSclpResponse.Done, rig.Bus.Deconfigure(function.FunctionId));
        Assert.Equal(0, nesting?.Find(rig.LastDevice!.Group!)?.Pins ?? 0);
        function.Dispose();
        Assert.Equal(0, rig.Machine.Host.Ledger.Outstanding(ResourceKind.Pin));
    }

    /// <summary>The container is the machine's: its user maps nothing, also when that is the VMM in place of the mode.</summary>
    [Fact]
    [Trait("Row", "S3-8")]
    public void TablesThatTheModeRefuses_InAContainerOfTheMachines_AreInsufficientResources()
    {
        using var rig = new ZpciGuestRig();
        const ulong Elsewhere = 4 * ZpciGuestRig.MemorySize;
        rig.Machine.Vm.Memory.Add(new GuestMemorySlot(1, Elsewhere, ZpciGuestRig.MemorySize, rig.Memory, IsReadOnly: true));
        var nesting = new ZpciKvmDriver(NestingMode.Shadow);
        rig.Machine.Host.AddBackendDriver(nesting);
        VfioDeviceFile file = rig.Open(type: (VfioIommuType)ZpciNesting.KvmOwnedContainer);
        ZpciGuestFunction function = rig.Bus.Plug(file, new ZpciFunctionOptions { Container = rig.LastContainer, Nesting = nesting, RelaxedTranslation = false });
        Assert.Equal(ZpciClpResponse.Ok, rig.Set(function, ZpciSetOperation.Enable));
        var tables = new GuestIoTables(rig.Memory, 0x10_0000);
        tables.Map(function.StartDma, 0x5000);
        var fib = new ZpciFib { FirstAddress = function.StartDma, LastAddress = function.StartDma + 0xfff_ffff, Iota = tables.Iota };

        // A first table in read-only memory, which a shadow does not follow.
        Assert.Equal(ZpciConditionCode.Done, rig.Modify(function, ZpciModifyOperation.RegisterIoat, fib with { Iota = tables.Iota + Elsewhere }).ConditionCode);
        Assert.Equal("fallback", function.Mode!.Name);
        ZpciResult refused = rig.Bus.Refresh(2, ZpciGuestRig.Request(function), function.StartDma, 0x1000);
        Assert.Equal((ZpciConditionCode.Error, ZpciStatus.InsufficientResources, ZpciFunctionState.Enabled), (refused.ConditionCode, refused.Status, function.State));

        Assert.Equal(ZpciConditionCode.Done, rig.Modify(function, ZpciModifyOperation.ReregisterIoat, fib).ConditionCode);
        Assert.Equal("shadow", function.Mode.Name);
        Assert.Equal(ZpciConditionCode.Done, rig.Bus.Refresh(2, ZpciGuestRig.Request(function), function.StartDma, 0x1000).ConditionCode);
    }
}
