using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>The console of an <see cref="NvmeFunction"/>: <c>status</c> shows what it is and how it stands, <c>counters</c> what it has done.</summary>
public sealed class NvmeConsole : IDeviceConsole
{
    private const string HelpText = """
        status     show the disk, the controller's state and its queues
        counters   show what has been read and written, and what failed
        help       this text
        """;

    private readonly NvmeFunction _function;
    private readonly ConsoleCommands _commands;

    /// <summary>Creates a console.</summary>
    /// <param name="function">The disk.</param>
    public NvmeConsole(NvmeFunction function)
    {
        ArgumentNullException.ThrowIfNull(function);
        _function = function;
        _commands = new ConsoleCommands(HelpText, ConsoleCommand.Show("status", Status), ConsoleCommand.Show("counters", Counters));
    }

    /// <inheritdoc/>
    /// <remarks>A disk says nothing by itself.</remarks>
    public event Action<string>? Notice
    {
        add { }
        remove { }
    }

    /// <inheritdoc/>
    public DeviceReply Execute(string line) => _commands.Execute(line);

    private string Status()
    {
        NvmeController controller = _function.Controller;
        NvmeNamespace disk = controller.Namespace;
        var status = new NvmeControllerStatus(controller.ReadRegister(NvmeRegisters.Status));
        string state = status.Fatal ? "failed, waits for a reset"
            : status.ShutdownStatus == NvmeShutdownStatus.Complete ? "shut down"
            : status.Ready ? "ready" : "not enabled";
        int submissions = 0;
        int completions = 0;
        for (int id = 1; id <= controller.Options.IoQueues; id++)
        {
            submissions += controller.Queues.Submission(id) is null ? 0 : 1;
            completions += controller.Queues.Completion(id) is null ? 0 : 1;
        }

        return FormattableString.Invariant($"""
            disk        {disk.Backing.Description}
            serial      {controller.Options.SerialNumber}
            blocks      {disk.Blocks} of {disk.BlockSize} bytes{(disk.IsReadOnly ? ", read-only" : "")}
            controller  {state}
            I/O queues  {submissions} submission, {completions} completion
            doorbells   {(controller.Options.Poll ? "mapped, polled" : controller.Doorbells.HasShadow ? "shadow" : "registers")}
            """);
    }

    private string Counters()
    {
        NvmeController controller = _function.Controller;
        NvmeCounters counters = controller.Logs.Counters;
        return FormattableString.Invariant($"""
            read        {counters.Reads} commands, {counters.SectorsRead * NvmeCounters.SectorSize} bytes
            written     {counters.Writes} commands, {counters.SectorsWritten * NvmeCounters.SectorSize} bytes
            flushed     {counters.Flushes} commands, {controller.Namespace.Backing.FlushCount} times to the medium
            others      {counters.Others} commands
            failed      {controller.Logs.Errors.Count} commands, {counters.MediaErrors} of them by the medium
            interrupts  {_function.InterruptsSent}
            """);
    }
}
