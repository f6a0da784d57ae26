using System.Text;
using Penstock.Devices;
using Penstock.Specs.Nvme;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>A guest's driver with a real device model: registers, DMA through the guest's tables, interruptions, and the end.</summary>
public sealed class GuestDriverTests : IDisposable
{
    private const int Model = 24;

    private readonly ZpciGuestRig _rig = new();
    private readonly ServedDevice _served = DeviceCatalog.BuiltIn.Create("nvme", new Dictionary<string, string> { ["size"] = "1M" });
    private readonly ZpciGuestFunction _function;
    private readonly NvmeGuestDriver _driver;
    private readonly int _available;

    public GuestDriverTests()
    {
        _function = _rig.Plug(_served.Function);
        _available = _rig.LastContainer!.AvailableMappings;
        _driver = new NvmeGuestDriver(_rig);
        _driver.Enable();
        _driver.Register();
        _driver.Start();
    }

    public void Dispose()
    {
        _rig.Dispose();
        _served.Dispose();
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Identify_DataPageMappedByRefresh_ArrivesAndInterrupts()
    {
        Assert.Equal(ZpciConditionCode.Done, _driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress).ConditionCode);
        Assert.Equal(default, _driver.Identify().Status);
        Assert.StartsWith("Penstock", Encoding.ASCII.GetString(_rig.Memory.Span(NvmeGuestDriver.DataAddress + Model, 40)), StringComparison.Ordinal);
        Assert.Equal(0x80 >> 2, _rig.Memory.Span(ZpciGuestRig.Vector, 1)[0]);
        Assert.Equal(_available - 3, _rig.LastContainer!.AvailableMappings);
    }

    [Fact]
    public void Identify_DataPageReadOnlyOrUnmapped_DeviceIsRefused()
    {
        _driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress, writable: false);
        Assert.NotEqual(default, _driver.Identify().Status);
        _driver.Unmap(NvmeGuestDriver.DataIova);
        Assert.NotEqual(default, _driver.Identify().Status);
        Assert.Equal(0, _rig.Memory.Span(NvmeGuestDriver.DataAddress, 0x1000).IndexOfAnyExcept((byte)0) + 1);
        _driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress);
        Assert.Equal(default, _driver.Identify().Status);
    }

    [Fact]
    public void Refresh_BadTableEntry_ErrorEventAndRecoveryByTheGuest()
    {
        _driver.Tables.Spoil(NvmeGuestDriver.DataIova, 0);
        ZpciResult result = _driver.Refresh(NvmeGuestDriver.DataIova);
        Assert.Equal((ZpciConditionCode.Error, ZpciStatus.FunctionInError), (result.ConditionCode, result.Status));
        ZpciErrorEventBlock told = ZpciErrorEventBlock.Read(Assert.Single(_rig.TakeEvents()).Block.Span);
        Assert.Equal((ZpciErrorEvent.InvalidTableEntry, NvmeGuestDriver.DataIova, _driver.Handle), (told.Code, told.Address, told.Handle));

        // As Linux does: loads and stores first, then everything.
        Assert.Equal(ZpciStatus.Blocked, _rig.Bus.Load(2, ZpciGuestRig.Request(_driver.Handle, 0, 4), 0).Status);
        Assert.Equal(ZpciConditionCode.Done, _driver.Modify(ZpciModifyOperation.ResetBlock));
        Assert.NotEqual(0u, _driver.Load(0, NvmeRegisters.Version, 4));
        Assert.Equal(ZpciConditionCode.Done, _driver.Modify(ZpciModifyOperation.ResetError));
        Assert.Equal(ZpciConditionCode.Done, _driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress).ConditionCode);
        Assert.Equal(default, _driver.Identify().Status);
    }

    [Fact]
    public void DisableAndEnable_AsARebindDoes_WorksAgainAndNothingWasMappedBetween()
    {
        _driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress);
        Assert.Equal(default, _driver.Identify().Status);
        Assert.Equal(ZpciClpResponse.Ok, _rig.Set(_function, ZpciSetOperation.Disable));
        Assert.Equal(_available, _rig.LastContainer!.AvailableMappings);
        _driver.Enable();
        _driver.Register();
        _driver.Start();
        _driver.Map(NvmeGuestDriver.DataIova, NvmeGuestDriver.DataAddress);
        Assert.Equal(default, _driver.Identify().Status);
    }

    [Fact]
    public void Unplug_WhileItIsInUse_GuestGivesItBack()
    {
        Assert.False(_rig.Bus.RequestUnplug(_function));
        Assert.Equal([ZpciAvailabilityEvent.DeconfigureRequest], _rig.TakeAvailability());
        Assert.Equal(ZpciClpResponse.Ok, _rig.Set(_function, ZpciSetOperation.Disable));
        Assert.Equal(ZpciSclpResponse.Done, _rig.Bus.Deconfigure(_function.FunctionId));
        Assert.Equal([ZpciAvailabilityEvent.StandbyToReserved], _rig.TakeAvailability());
        Assert.Equal(_available, _rig.LastContainer!.AvailableMappings);
        Assert.Equal(ZpciConditionCode.InvalidHandle, _rig.Bus.Load(2, ZpciGuestRig.Request(_driver.Handle, 0, 4), 0).ConditionCode);
    }

    [Fact]
    public void Remove_WhileProcessorsAccess_EachEndsAndNothingIsTouchedAfterwards()
    {
        ulong request = ZpciGuestRig.Request(_driver.Handle, 0, 4);
        using var stop = new CancellationTokenSource();
        long served = 0;
        Thread[] processors = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                ZpciResult result = _rig.Bus.Load(2, request, NvmeRegisters.Version);
                if (result.ConditionCode == ZpciConditionCode.Done)
                {
                    Interlocked.Increment(ref served);
                }
            }
        }) { IsBackground = true })];
        Array.ForEach(processors, static p => p.Start());
        Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref served) > 100, HypervisorRig.Patience));
        _function.Dispose();
        long after = Interlocked.Read(ref served);
        stop.Cancel();
        Array.ForEach(processors, static p => Assert.True(p.Join(HypervisorRig.Patience)));
        Assert.InRange(Interlocked.Read(ref served) - after, 0, processors.Length);
        Assert.False(_rig.LastDevice!.IsOpen);
    }
}
