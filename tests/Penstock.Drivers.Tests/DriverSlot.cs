using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Drivers.Tests;

/// <summary>Where a driver under test finds its device: behind a file in this process, or behind a socket.</summary>
public abstract class DriverSlot : IDisposable
{
    protected const string SlotName = "0000:01:00.0";

    /// <summary>The driver's host.</summary>
    public abstract VfioHost Host { get; }

    /// <summary>The device as the driver's user opened it.</summary>
    public AssignedDevice Device { get; private set; } = null!;

    protected void OpenDevice(string name) => Device = AssignedDevice.Open(Host, name, new Caller(CurrentProcess.UserId, RawIo: false, LockMemory: true, ulong.MaxValue));

    public void Dispose()
    {
        Device.Dispose();
        Close();
        Assert.True(SpinWait.SpinUntil(() => Host.Ledger.Total == 0, TimeSpan.FromMinutes(1)), $"still owned: {Host.Ledger}");
        GC.SuppressFinalize(this);
    }

    protected abstract void Close();
}
