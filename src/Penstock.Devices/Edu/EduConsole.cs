namespace Penstock.Devices;

/// <summary>The console of an <see cref="EduFunction"/>: <c>get</c> shows what it has done; transfers that failed and refused accesses are notices.</summary>
internal sealed class EduConsole : IDeviceConsole
{
    private const string HelpText = """
        get    show what the device has done and what failed
        help   this text
        """;

    private readonly EduFunction _function;
    private readonly ConsoleCommands _commands;

    /// <summary>Creates a console.</summary>
    /// <param name="function">The device.</param>
    public EduConsole(EduFunction function)
    {
        ArgumentNullException.ThrowIfNull(function);
        _function = function;
        _commands = new ConsoleCommands(HelpText, ConsoleCommand.Show("get", Show));
        _function.Notice += line => Notice?.Invoke(line);
    }

    /// <inheritdoc/>
    public event Action<string>? Notice;

    /// <inheritdoc/>
    public DeviceReply Execute(string line) => _commands.Execute(line);

    private string Show() => FormattableString.Invariant($"""
        factorials {_function.Factorials}
        interrupts {_function.InterruptsRaised}
        transfers  {_function.Transfers}, {_function.TransferredBytes} bytes
        failed     {_function.FailedTransfers}{(_function.LastFailure is { } last ? $", the last: {last}" : "")}
        refused    {_function.RefusedAccesses} accesses
        """);
}
