namespace Penstock.Vfio;

/// <summary>
/// What makes mediated devices out of a parent. The devices that it makes are devices as any other: nothing stands between the user's
/// calls and their methods. Members may be called from several threads at once, but never for the same device.
/// </summary>
public abstract class MdevDriver
{
    /// <summary>Name of the driver; it begins the names of its types.</summary>
    public abstract string Name { get; }

    /// <summary>What its devices look like to users, one of <see cref="Specs.Vfio.MdevDeviceApi"/>.</summary>
    public abstract string DeviceApi { get; }

    /// <summary>How many devices a parent can have, all types together; means nothing when the driver counts by itself.</summary>
    public virtual int MaxInstances => 0;

    /// <summary>
    /// Whether the driver decides by itself how many devices there can be. Otherwise parents count down from <see cref="MaxInstances"/>. Asked
    /// once for each parent.
    /// </summary>
    protected internal virtual bool CountsInstances => false;

    /// <summary>How many more devices of a type there can be, for a driver that counts by itself; its <see cref="Probe"/> refuses more.</summary>
    /// <param name="type">The type.</param>
    /// <returns>The number.</returns>
    protected internal virtual int GetAvailable(MdevType type) => 0;

    /// <summary>Text for people about a type.</summary>
    /// <param name="type">The type.</param>
    /// <returns>The text, or null.</returns>
    protected internal virtual string? Describe(MdevType type) => null;

    /// <summary>
    /// Makes the device of a mediated device that is being created. It is registered right after, and unregistered before
    /// <see cref="Remove"/>.
    /// </summary>
    /// <param name="mdev">Its name, type and parent.</param>
    /// <returns>The device, named as <paramref name="mdev"/> is, not registered.</returns>
    /// <exception cref="VfioException">It cannot be made; whoever asked for it gets this error, and nothing is left behind.</exception>
    protected internal abstract VfioDevice Probe(MdevDevice mdev);

    /// <summary>The device is closed and unregistered: gives back what <see cref="Probe"/> took. Must not fail; what it throws is logged.</summary>
    /// <param name="mdev">The mediated device.</param>
    /// <param name="device">What Probe made.</param>
    protected internal virtual void Remove(MdevDevice mdev, VfioDevice device)
    {
    }
}
