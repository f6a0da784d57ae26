using System.Globalization;

namespace Penstock.Devices;

/// <summary>
/// The console of a <see cref="GpioBank"/>: as that of a single card, with the number of the card in front of the line.
/// </summary>
internal sealed class GpioMdevConsole : IDeviceConsole
{
    private const string HelpText = """
        set CARD LINE 0|1   drive input LINE (0-15) of a card from outside; its guest sees it as line 16+LINE
        get [CARD]          show outputs and inputs of one card, or of all
        help                this text
        """;

    private readonly GpioBank _bank;
    private readonly ConsoleCommands _commands;

    /// <summary>Creates a console.</summary>
    /// <param name="bank">The bank.</param>
    public GpioMdevConsole(GpioBank bank)
    {
        ArgumentNullException.ThrowIfNull(bank);
        _bank = bank;
        _commands = new ConsoleCommands(HelpText, new ConsoleCommand("set", Set), new ConsoleCommand("get", Get));
        _bank.OutputChanged += (card, line, value) => Notice?.Invoke(Invariant($"out {card} {line} {(value ? 1 : 0)}"));
    }

    /// <inheritdoc/>
    public event Action<string>? Notice;

    /// <inheritdoc/>
    public DeviceReply Execute(string line) => _commands.Execute(line);

    private DeviceReply Get(string[] arguments) => arguments switch
    {
        [] => DeviceReply.Done(string.Join('\n', Enumerable.Range(0, _bank.Count).Select(Show))),
        [var card] => TryNumber(card, _bank.Count, out int shown) ? DeviceReply.Done(Show(shown)) : NoCard("get", card),
        _ => DeviceReply.Wrong("get: takes one card or nothing after it"),
    };

    private DeviceReply Set(string[] arguments)
    {
        if (arguments is not [var card, var number, var level])
        {
            return DeviceReply.Wrong("set: takes a card, a line and a level: set CARD LINE 0|1");
        }

        if (!TryNumber(card, _bank.Count, out int slice))
        {
            return NoCard("set", card);
        }

        if (!TryNumber(number, Idio16Function.InputCount, out int line))
        {
            return DeviceReply.Wrong(Invariant($"set: '{number}' is not an input line; lines are 0 to {Idio16Function.InputCount - 1}"));
        }

        if (level is not ("0" or "1"))
        {
            return DeviceReply.Wrong($"set: '{level}' is not a level; give 0 or 1");
        }

        _bank.SetInput(slice, line, level == "1");
        return DeviceReply.Done(Invariant($"in {slice} {line} {level}"));
    }

    private DeviceReply NoCard(string command, string card) =>
        DeviceReply.Wrong(Invariant($"{command}: '{card}' is not a card; cards are 0 to {_bank.Count - 1}"));

    private string Show(int slice) => Invariant(
        $"card {slice} outputs 0x{_bank.OutputsOf(slice):x4} inputs 0x{_bank.InputsOf(slice):x4} interrupts {_bank.CardOf(slice)?.InterruptsRaised ?? 0}");

    private static bool TryNumber(string text, int limit, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number < limit;

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
