using System.Globalization;

namespace Penstock.Devices;

/// <summary>
/// The console of an <see cref="Idio16Function"/>: <c>set LINE 0|1</c> drives an input from outside, <c>get</c> shows all lines,
/// and each change of an output is a notice. Lines have the card's own numbers, 0 to 15 for inputs as well as for outputs.
/// </summary>
internal sealed class Idio16Console : IDeviceConsole
{
    private const string HelpText = """
        set LINE 0|1   drive input LINE (0-15) from outside; the guest sees it as line 16+LINE
        get            show outputs and inputs
        help           this text
        """;

    private readonly Idio16Function _function;
    private readonly ConsoleCommands _commands;

    /// <summary>Creates a console.</summary>
    /// <param name="function">The card.</param>
    public Idio16Console(Idio16Function function)
    {
        ArgumentNullException.ThrowIfNull(function);
        _function = function;
        _commands = new ConsoleCommands(HelpText, new ConsoleCommand("set", Set), ConsoleCommand.Show("get", Show));
        _function.OutputChanged += (line, value) => Notice?.Invoke(Invariant($"out {line} {Level(value)}"));
    }

    /// <inheritdoc/>
    public event Action<string>? Notice;

    /// <inheritdoc/>
    public DeviceReply Execute(string line) => _commands.Execute(line);

    private DeviceReply Set(string[] arguments)
    {
        if (arguments is not [var number, var level])
        {
            return DeviceReply.Wrong("set: takes a line and a level: set LINE 0|1");
        }

        if (!int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var line) || line >= Idio16Function.InputCount)
        {
            return DeviceReply.Wrong(Invariant($"set: '{number}' is not an input line; lines are 0 to {Idio16Function.InputCount - 1}"));
        }

        if (level is not ("0" or "1"))
        {
            return DeviceReply.Wrong($"set: '{level}' is not a level; give 0 or 1");
        }

        _function.SetInput(line, level == "1");
        return DeviceReply.Done(Invariant($"in {line} {level}"));
    }

    private string Show() => Invariant($"""
        outputs 0x{_function.Outputs:x4}
        inputs  0x{_function.Inputs:x4}
        interrupts {_function.InterruptsRaised}
        """);

    private static int Level(bool value) => value ? 1 : 0;

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
