namespace Penstock.Devices;

/// <summary>A command of a console.</summary>
/// <param name="Name">Its first word.</param>
/// <param name="Execute">What it does with the words after that.</param>
internal sealed record ConsoleCommand(string Name, Func<string[], DeviceReply> Execute)
{
    /// <summary>A command that says something and takes nothing.</summary>
    /// <param name="name">Its word.</param>
    /// <param name="text">What it says.</param>
    /// <returns>The command.</returns>
    public static ConsoleCommand Show(string name, Func<string> text) =>
        new(name, arguments => arguments.Length == 0 ? DeviceReply.Done(text()) : DeviceReply.Wrong($"{name}: takes nothing after it"));
}
