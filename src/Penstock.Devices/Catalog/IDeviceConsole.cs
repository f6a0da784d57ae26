namespace Penstock.Devices;

/// <summary>
/// The knobs of a device for the person who serves it: one command a line, as they come from standard input.
/// May be used from any thread.
/// </summary>
public interface IDeviceConsole
{
    /// <summary>
    /// Something happened that the person may want to see: one line, without a line end. Raised on a thread of the device, in the order
    /// of the events; a handler should return soon.
    /// </summary>
    event Action<string>? Notice;

    /// <summary>Carries out one command.</summary>
    /// <param name="line">The command and its arguments, split at blanks; an empty line does nothing.</param>
    /// <returns>The answer; never an exception for bad input.</returns>
    DeviceReply Execute(string line);
}
