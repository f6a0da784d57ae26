using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>What can be served, by name. Immutable; may be used from any thread.</summary>
public sealed class DeviceCatalog
{
    /// <summary>Creates a catalog.</summary>
    /// <param name="entries">The devices, in the order in which they are listed.</param>
    /// <exception cref="ArgumentException">Two entries have the same name, or one is neither a device nor a parent, or both.</exception>
    public DeviceCatalog(IEnumerable<DeviceEntry> entries)
    {
        ArgumentNullException.ThrowIfNull(entries);
        Entries = [.. entries];
        foreach (var twice in Entries.GroupBy(entry => entry.Name, StringComparer.Ordinal).Where(group => group.Count() > 1))
        {
            throw new ArgumentException($"two devices are named '{twice.Key}'", nameof(entries));
        }

        if (Entries.FirstOrDefault(entry => (entry.Factory is null) == (entry.ParentFactory is null)) is { } wrong)
        {
            throw new ArgumentException($"'{wrong.Name}' must be either a device or a parent", nameof(entries));
        }
    }

    /// <summary>The devices that come with Penstock.</summary>
    public static DeviceCatalog BuiltIn { get; } = new([Idio16Entry.Entry, EduEntry.Entry, BenchEntry.Entry, GpioMdevEntry.Entry, NvmeEntry.Entry]);

    /// <summary>The devices, in the order in which they are listed.</summary>
    public IReadOnlyList<DeviceEntry> Entries { get; }

    /// <summary>Looks a device up.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>The entry.</returns>
    /// <exception cref="VfioException">ENODEV: there is none of that name; the message lists the names.</exception>
    public DeviceEntry Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Entries.FirstOrDefault(entry => entry.Name == name) ?? throw new VfioException(
            Errno.ENODEV,
            $"device '{name}'",
            $"there is no such device; choose one of {string.Join(", ", Entries.Select(entry => entry.Name))}");
    }

    /// <summary>Makes a device.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="options">Values by option name; what is left out has its default.</param>
    /// <returns>The device, owned by the caller.</returns>
    /// <exception cref="VfioException">
    /// ENODEV: no such device. EINVAL: the name of a parent, an unknown option, a missing one or a bad value; the message names it and says what is right.
    /// Another errno: something that the device needs could not be had.
    /// </exception>
    public ServedDevice Create(string name, IReadOnlyDictionary<string, string> options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var entry = Find(name);
        return (entry.Factory ?? throw Refused(name, "it is a parent of several devices, not one")).Invoke(new DeviceOptions(entry, options));
    }

    /// <summary>Makes a parent of mediated devices.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="options">Values by option name; what is left out has its default.</param>
    /// <returns>The parent, not registered.</returns>
    /// <exception cref="VfioException">As <see cref="Create"/>; EINVAL: it is a single device.</exception>
    public ServedParent CreateParent(string name, IReadOnlyDictionary<string, string> options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var entry = Find(name);
        return (entry.ParentFactory ?? throw Refused(name, "it is a single device, not a parent")).Invoke(new DeviceOptions(entry, options));
    }

    private static VfioException Refused(string name, string why) => new(Errno.EINVAL, $"device '{name}'", why);
}
