namespace Penstock.Vfio;

/// <summary>
/// A machine that can watch its guest's writes to single pages, for drivers that shadow tables of the guest. A driver that needs it asks
/// <see cref="VfioDevice.Hypervisor"/> for it when the device is opened, and refuses to open without.
/// </summary>
public interface IPageTracking
{
    /// <summary>Registers a watcher, which watches no page yet.</summary>
    /// <param name="watcher">Who is told. Called without locks of the machine, on any thread.</param>
    /// <returns>The registration; dispose it before the device gives the machine back.</returns>
    IPageTrack Track(IPageWatcher watcher);
}
