using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>A parent of mediated devices, ready to be registered, with the devices that are to be made of it.</summary>
public sealed class ServedParent
{
    /// <summary>Creates the description.</summary>
    /// <param name="name">Name of the parent.</param>
    /// <param name="driver">What makes its devices.</param>
    /// <param name="type">Their type.</param>
    /// <param name="instances">Their UUIDs.</param>
    /// <param name="console">Its console, if it has one.</param>
    public ServedParent(string name, MdevDriver driver, MdevType type, IReadOnlyList<Guid> instances, IDeviceConsole? console = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(driver);
        ArgumentNullException.ThrowIfNull(type);
        ArgumentNullException.ThrowIfNull(instances);
        Name = name;
        Driver = driver;
        Type = type;
        Instances = instances;
        Console = console;
    }

    /// <summary>Name of the parent.</summary>
    public string Name { get; }

    /// <summary>What makes its devices.</summary>
    public MdevDriver Driver { get; }

    /// <summary>Their type.</summary>
    public MdevType Type { get; }

    /// <summary>Their UUIDs.</summary>
    public IReadOnlyList<Guid> Instances { get; }

    /// <summary>Commands for the person who serves the devices, or null.</summary>
    public IDeviceConsole? Console { get; }
}
