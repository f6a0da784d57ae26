using Penstock.Devices;
using Penstock.VfioUser;

namespace Penstock.Cli.Serve;

/// <summary>What one run of <c>penstock serve</c> serves: a device, or the devices of a parent.</summary>
internal interface IServing : IDisposable
{
    /// <summary>Commands for standard input, or null.</summary>
    IDeviceConsole? Console { get; }

    /// <summary>The sockets, one for each device.</summary>
    IReadOnlyList<ServedSocket> Sockets { get; }

    /// <summary>The machines that one of the sockets can be plugged into, x86-64 first.</summary>
    IReadOnlyList<QemuMachine> MachinesFor(ServedSocket socket);

    /// <summary>Starts to serve.</summary>
    /// <param name="options">How, by position of the socket.</param>
    /// <exception cref="Interop.SystemCallException">A socket cannot be had.</exception>
    void Start(Func<int, VfioUserServerOptions> options);

    /// <summary>Returns when serving has ended.</summary>
    void Wait();
}
