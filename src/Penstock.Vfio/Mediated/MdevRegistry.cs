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

            Claim(what, parent);
            _parents.Add(parent);
        }
    }

    internal void Leave(MdevParent parent)
    {
        lock (_gate)
        {
            _parents.Remove(parent);
            parent.IsRegistered = false;
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

    /// <summary>Makes the types the parent's, all or none. Parents of other hosts may want them at the same time.</summary>
    private static void Claim(string what, MdevParent parent)
    {
        parent.IsRegistered = true;
        var before = new MdevParent?[parent.Types.Count];
        for (int i = 0; i < before.Length; i++)
        {
            if (parent.Types[i].TryClaim(parent, out before[i]) is { } owner)
            {
                parent.IsRegistered = false;
                for (int undo = i - 1; undo >= 0; undo--)
                {
                    parent.Types[undo].Unclaim(parent, before[undo]);
                }

                throw new VfioException(Errno.EINVAL, what, $"type {parent.Types[i].ShortName} belongs to {owner} already");
            }
        }
    }
}
