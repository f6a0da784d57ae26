namespace Penstock.VfioUser;

/// <content>What only a remote device can.</content>
public sealed partial class RemoteVfioDevice
{
    /// <summary>What the server said that it accepts; null while nobody has the device open.</summary>
    public PeerLimits? ServerLimits => _facts?.Client.ServerLimits;

    /// <summary>
    /// Several short writes, in as few messages as the server takes; as <see cref="VfioUserClient.WriteMultiple"/>. For users in this
    /// process who have many registers to write: through a file each write is a message.
    /// </summary>
    /// <param name="writes">The writes, done in their order.</param>
    /// <param name="posted">Do not wait for the server; its errors stay unseen.</param>
    /// <exception cref="Vfio.VfioException">ENOTCONN: the device is not open; as <see cref="VfioUserClient.WriteMultiple"/>.</exception>
    public void WriteMultiple(ReadOnlySpan<RegionWrite> writes, bool posted = false) => Facts.Client.WriteMultiple(writes, posted);

    /// <summary>Asks for descriptors that stand for parts of a region; as <see cref="VfioUserClient.GetRegionIoFds"/>.</summary>
    /// <param name="region">Region index.</param>
    /// <returns>Entries and descriptors, which the caller disposes.</returns>
    /// <exception cref="Vfio.VfioException">ENOTCONN: the device is not open; as <see cref="VfioUserClient.GetRegionIoFds"/>.</exception>
    public RegionIoFds GetRegionIoFds(uint region) => Facts.Client.GetRegionIoFds(region);
}
