namespace Penstock.Devices;

/// <summary>The commands of a console, and <c>help</c>.</summary>
internal sealed class ConsoleCommands
{
    private readonly ConsoleCommand[] _commands;

    /// <summary>Collects them.</summary>
    /// <param name="help">What help says.</param>
    /// <param name="commands">The others.</param>
    public ConsoleCommands(string help, params ConsoleCommand[] commands) => _commands = [.. commands, ConsoleCommand.Show("help", () => help)];

    /// <summary>Does what a line says; an empty one says nothing.</summary>
    /// <param name="line">The line, without its end.</param>
    /// <returns>The answer.</returns>
    public DeviceReply Execute(string line)
    {
        ArgumentNullException.ThrowIfNull(line);
        string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return words.Length == 0 ? DeviceReply.Done()
            : Array.Find(_commands, c => c.Name == words[0]) is { } command ? command.Execute(words[1..])
            : DeviceReply.Wrong($"{words[0]}: no such command; try {string.Join(", ", _commands[..^1].Select(static c => c.Name))} or help");
    }
}
