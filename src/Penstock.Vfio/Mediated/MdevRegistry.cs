using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// All mediated devices of a host and their parents. Its gate guards the lists, the counts of instances and who is active; nothing is
/// called with it held.
/// </summary>
internal sealed class MdevRegistry
{
    private readonly Lock _gate = new();
    private readonly Dictionary<Guid, MdevDevice> _devices = [];
    private readonly List<MdevParent> _parents = [];

    internal IReadOnlyList<MdevParent> Parents
    {
        get
        {
            lock (_gate)
            {
                return [.. _parents];
            }
        }
    }

    internal IReadOnlyList<MdevDevice> DevicesOf(MdevParent? parent)
    {
        lock (_gate)
        {
            return [.. _devices.Values.Where(d => parent is null || d.Parent == parent)];
        }
    }

    internal void Join(string what, MdevParent parent)
    {
        lock (_gate)
        {
            if (_parents.Exists(p => p.Name == parent.Name))
            {
                throw new VfioException(Errno.EEXIST, what, "a parent of this name is registered");
            }

            if (parent.Types.FirstOrDefault(t => t.Owner is { } owner && _parents.Contains(owner)) is { } taken)
            {
                throw new VfioException(Errno.EINVAL, what, $"type {taken.ShortName} belongs to {taken.Owner} already");
            }

            foreach (MdevType type in parent.Types)
            {
                type.Owner = parent;
            }

            _parents.Add(parent);
        }
    }

    internal void Leave(MdevParent parent)
    {
        lock (_gate)
        {
            _parents.Remove(parent);
        }
    }

    /// <summary>A new device, not active, with an instance taken.</summary>
    internal MdevDevice Add(string what, MdevParent parent, MdevType type, Guid uuid)
    {
        lock (_gate)
        {
            if (_devices.ContainsKey(uuid))
            {
                throw new VfioException(Errno.EEXIST, what, "a mediated device of this host has this UUID");
            }

            if (parent.CountsInstances)
            {
                if (parent.AvailableInstances <= 0)
                {
                    throw new VfioException(Errno.EUSERS, what, $"{parent} has no instance left; remove one first");
                }

                parent.AvailableInstances--;
            }

            var mdev = new MdevDevice(type, parent, uuid);
            _devices.Add(uuid, mdev);
            return mdev;
        }
    }

    internal void Activate(MdevDevice mdev)
    {
        lock (_gate)
        {
            mdev.IsActive = true;
        }
    }

    internal void Deactivate(MdevDevice mdev)
    {
        lock (_gate)
        {
            mdev.IsActive = false;
        }
    }

    internal void BeginRemoval(string what, MdevDevice mdev)
    {
        lock (_gate)
        {
            if (!_devices.TryGetValue(mdev.Uuid, out MdevDevice? listed) || listed != mdev)
            {
                throw new VfioException(Errno.ENODEV, what, "it is gone");
            }

            if (!mdev.IsActive)
            {
                throw new VfioException(Errno.EAGAIN, what, "it is being created or removed by somebody else");
            }

            mdev.IsActive = false;
        }
    }

    internal void Remove(MdevDevice mdev)
    {
        lock (_gate)
        {
            _devices.Remove(mdev.Uuid);
            MdevParent parent = mdev.Parent;
            if (parent.CountsInstances)
            {
                parent.AvailableInstances++;
            }
        }
    }
}
