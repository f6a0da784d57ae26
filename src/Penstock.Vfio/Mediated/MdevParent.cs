using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Something that mediated devices are made of, registered with a host until it is unregistered. All members may be called from any thread.
/// </summary>
public sealed class MdevParent
{
    private readonly MdevRegistry _registry;
    private readonly object _gate = new();
    private readonly List<MdevDevice> _children = [];

    // Creations and removals under way; none begins once the parent is leaving, and it leaves when there are none.
    private int _busy;
    private bool _leaving;
    private volatile int _available;
    private volatile bool _registered;

    internal MdevParent(VfioHost host, string name, VfioDevice? device, MdevDriver driver, IReadOnlyList<MdevType> types)
    {
        Host = host;
        Name = name;
        Device = device;
        Driver = driver;
        Types = types;
        _registry = host.Mediated;
        CountsInstances = !driver.CountsInstances;
        AvailableInstances = driver.MaxInstances;
    }

    /// <summary>The host.</summary>
    public VfioHost Host { get; }

    /// <summary>Name of the parent, for a PCI function its slot.</summary>
    public string Name { get; }

    /// <summary>The device that is split up; null when the parent is no device.</summary>
    public VfioDevice? Device { get; }

    /// <summary>The driver.</summary>
    public MdevDriver Driver { get; }

    /// <summary>What can be made of it.</summary>
    public IReadOnlyList<MdevType> Types { get; }

    /// <summary>The devices made of it as of now, those included that are being created or removed.</summary>
    public IReadOnlyList<MdevDevice> Devices => _registry.DevicesOf(this);

    /// <summary>Whether its types are its own. Changed by the registry.</summary>
    internal bool IsRegistered
    {
        get => _registered;
        set => _registered = value;
    }

    /// <summary>Whether instances are counted here and not by the driver.</summary>
    internal bool CountsInstances { get; }

    /// <summary>Instances that are left. Changed by the registry, under its gate.</summary>
    internal int AvailableInstances
    {
        get => _available;
        set => _available = value;
    }

    /// <summary>
    /// Unregisters the parent: nothing can be made of it any more, and every device made of it is removed, which waits until its users have
    /// closed it. Never call it from a thread that has to close one, or from the driver's methods.
    /// </summary>
    /// <exception cref="VfioException">ENODEV: it is unregistered already, or somebody else is at it.</exception>
    public void Unregister()
    {
        MdevDevice[] children;
        lock (_gate)
        {
            if (_leaving)
            {
                throw new VfioException(Errno.ENODEV, $"unregistering {this}", "it is unregistered already, or somebody else is at it");
            }

            _leaving = true;
            while (_busy != 0)
            {
                Monitor.Wait(_gate);
            }

            children = [.. _children];
        }

        foreach (MdevDevice child in children)
        {
            _registry.Deactivate(child);
            TearDown(child);
        }

        _registry.Leave(this);
        if (Device is not null)
        {
            Host.ReleaseParent(Device);
        }

        Host.Announce(this, registered: false);
    }

    /// <inheritdoc/>
    public override string ToString() => $"mdev parent {Name}";

    internal MdevDevice Create(MdevType type, Guid uuid)
    {
        string what = $"creating {type.Name} {uuid}";
        MdevDevice mdev = _registry.Add(what, this, type, uuid);
        if (!TryBegin())
        {
            mdev.Release();
            throw new VfioException(Errno.ENODEV, what, $"{this} is being unregistered");
        }

        try
        {
            Attach(what, mdev);
        }
        catch
        {
            mdev.Release();
            throw;
        }
        finally
        {
            End();
        }

        return mdev;
    }

    internal void Remove(MdevDevice mdev)
    {
        string what = $"removing {mdev}";
        _registry.BeginRemoval(what, mdev);
        if (!TryBegin())
        {
            throw new VfioException(Errno.ENODEV, what, $"{this} is being unregistered, which removes it");
        }

        try
        {
            TearDown(mdev);
        }
        finally
        {
            End();
        }
    }

    internal void Released(MdevDevice mdev) => _registry.Remove(mdev);

    private void Attach(string what, MdevDevice mdev)
    {
        VfioDevice device = Driver.Probe(mdev);
        try
        {
            if (device.Name != mdev.Name)
            {
                throw new VfioException(Errno.EINVAL, what, $"driver {Driver.Name} named its device {device.Name}; it must have the name of the {mdev}");
            }

            Host.RegisterEmulated(device);
        }
        catch
        {
            RemoveByDriver(mdev, device);
            throw;
        }

        mdev.Device = device;
        lock (_gate)
        {
            _children.Add(mdev);
        }

        _registry.Activate(mdev);
    }

    /// <summary>Takes a device away whose removal nobody else can begin any more.</summary>
    private void TearDown(MdevDevice mdev)
    {
        VfioDevice device = mdev.Device!;
        try
        {
            Host.Unregister(device);
        }
        catch (VfioException e)
        {
            // Somebody went past this class; what is left to do here is the same.
            Host.Options.Log?.Invoke($"{mdev}: {e.Message}");
        }

        mdev.Device = null;
        RemoveByDriver(mdev, device);
        lock (_gate)
        {
            _children.Remove(mdev);
        }

        mdev.Release();
    }

    private void RemoveByDriver(MdevDevice mdev, VfioDevice device)
    {
        try
        {
            Driver.Remove(mdev, device);
        }
        catch (Exception e)
        {
            Host.Options.Log?.Invoke($"{mdev}: driver {Driver.Name} failed to remove it: {e}");
        }
    }

    private bool TryBegin()
    {
        lock (_gate)
        {
            if (_leaving)
            {
                return false;
            }

            _busy++;
            return true;
        }
    }

    private void End()
    {
        lock (_gate)
        {
            if (--_busy == 0)
            {
                Monitor.PulseAll(_gate);
            }
        }
    }
}
