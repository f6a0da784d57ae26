namespace Penstock.Devices;

/// <summary>What a device console answers to a line.</summary>
/// <param name="Succeeded">False when the line was not understood or the command could not be carried out.</param>
/// <param name="Text">The answer, without a line end after the last line; for an error exactly one line. May be empty.</param>
public sealed record DeviceReply(bool Succeeded, string Text)
{
    /// <summary>Done, with something to show.</summary>
    /// <param name="text">What to show.</param>
    /// <returns>The reply.</returns>
    public static DeviceReply Done(string text = "") => new(true, text);

    /// <summary>Not done.</summary>
    /// <param name="text">One line: what is wrong, and the right form.</param>
    /// <returns>The reply.</returns>
    public static DeviceReply Wrong(string text) => new(false, text);
}
