using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Mediated devices.</content>
public sealed partial class VfioHost
{
    private const string Change = "change";
    private const string MdevState = "MDEV_STATE";

    /// <summary>
    /// Something happened to a device: <c>MDEV_STATE=registered</c> and <c>MDEV_STATE=unregistered</c> of parents of mediated devices. Raised
    /// on the thread that did it, without locks; a handler that throws is logged.
    /// </summary>
    public event Action<HostUevent>? Uevent;

    /// <summary>The parents of mediated devices as of now.</summary>
    public IReadOnlyList<MdevParent> MdevParents => Mediated.Parents;

    /// <summary>The mediated devices as of now, those included that are being created or removed, or are removed and still held.</summary>
    public IReadOnlyList<MdevDevice> MdevDevices => Mediated.DevicesOf(null);

    internal MdevRegistry Mediated { get; } = new();

    /// <summary>Registers something of which mediated devices can be made.</summary>
    /// <param name="name">Its name, for a PCI function its slot.</param>
    /// <param name="driver">What makes the devices.</param>
    /// <param name="types">The kinds of devices; each belongs to this parent from now on.</param>
    /// <returns>The parent, without devices.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: the driver does not say what its devices look like, there is no type, or one belongs to a parent already or is named twice;
    /// EEXIST: a parent of this name is registered.
    /// </exception>
    public MdevParent RegisterMdevParent(string name, MdevDriver driver, params IReadOnlyList<MdevType> types)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return RegisterMdevParent(name, null, driver, types);
    }

    /// <summary>
    /// Registers a device of which mediated devices are to be made instead of giving it away whole: as long as it is a parent, it cannot be
    /// registered for users itself.
    /// </summary>
    /// <param name="device">The device, not registered; the parent has its name.</param>
    /// <param name="driver">What makes the devices.</param>
    /// <param name="types">The kinds of devices; each belongs to this parent from now on.</param>
    /// <returns>The parent, without devices.</returns>
    /// <exception cref="VfioException">EBUSY: the device is registered for users, or is a parent already; as for a parent with a name.</exception>
    public MdevParent RegisterMdevParent(VfioDevice device, MdevDriver driver, params IReadOnlyList<MdevType> types)
    {
        ArgumentNullException.ThrowIfNull(device);
        lock (_registration)
        {
            if (device.State is not null || device.IsMdevParent)
            {
                throw new VfioException(Errno.EBUSY, $"registering mdev parent {device.Name}", "it is registered for users, or is a parent already; unregister it first");
            }

            device.IsMdevParent = true;
        }

        try
        {
            return RegisterMdevParent(device.Name, device, driver, types);
        }
        catch
        {
            ReleaseParent(device);
            throw;
        }
    }

    internal void ReleaseParent(VfioDevice device)
    {
        lock (_registration)
        {
            device.IsMdevParent = false;
        }
    }

    internal void Announce(MdevParent parent, bool registered)
    {
        var happened = new HostUevent(Change, parent.Name, MdevState, registered ? "registered" : "unregistered");
        foreach (Action<HostUevent> handler in Delegate.EnumerateInvocationList(Uevent))
        {
            try
            {
                handler(happened);
            }
            catch (Exception e)
            {
                Options.Log?.Invoke($"a handler of host events failed: {e}");
            }
        }
    }

    private MdevParent RegisterMdevParent(string name, VfioDevice? device, MdevDriver driver, IReadOnlyList<MdevType> types)
    {
        ArgumentNullException.ThrowIfNull(driver);
        ArgumentNullException.ThrowIfNull(types);
        string what = $"registering mdev parent {name}";
        if (string.IsNullOrEmpty(driver.DeviceApi))
        {
            throw new VfioException(Errno.EINVAL, what, $"driver {driver.Name} does not say which device API its devices have");
        }

        if (types.Count == 0 || types.DistinctBy(t => t.ShortName).Count() != types.Count)
        {
            throw new VfioException(Errno.EINVAL, what, "it needs at least one type, and each a name of its own");
        }

        var parent = new MdevParent(this, name, device, driver, [.. types]);
        Mediated.Join(what, parent);
        Announce(parent, registered: true);
        return parent;
    }
}
