using Penstock.Pci;

namespace Penstock.Devices;

/// <summary>A device ready to be plugged in: the function, its console if it has one, and what must be given back after use.</summary>
public sealed class ServedDevice : IDisposable
{
    private readonly IDisposable? _owned;

    /// <summary>Creates the pair.</summary>
    /// <param name="function">The function.</param>
    /// <param name="console">Its console, if it has one.</param>
    /// <param name="owned">Files and memory behind the function; disposed with this object.</param>
    public ServedDevice(IPciFunction function, IDeviceConsole? console = null, IDisposable? owned = null)
    {
        ArgumentNullException.ThrowIfNull(function);
        Function = function;
        Console = console;
        _owned = owned;
    }

    /// <summary>The function.</summary>
    public IPciFunction Function { get; }

    /// <summary>Commands for the person who serves the device, or null.</summary>
    public IDeviceConsole? Console { get; }

    /// <summary>Gives back what is behind the function. Unplug the function first.</summary>
    public void Dispose() => _owned?.Dispose();
}
