using Penstock.Interop;

namespace Penstock.Hypervisor;

/// <summary>What a tap does.</summary>
public sealed class TapSessionOptions
{
    /// <summary>The function identifier (FID) of the device on QEMU's command line; all other functions are left alone.</summary>
    public required uint FunctionId { get; init; }

    /// <summary>Who answers RPCIT at first; <see cref="TapSession.SwitchTo"/> changes it.</summary>
    public RpcitPath Path { get; init; }

    /// <summary>What follows the guest's tables; null for a tap that only listens.</summary>
    internal ITapTarget? Target { get; init; }

    /// <summary>Where the device's interrupts go; null for QEMU alone.</summary>
    internal TapInterrupts? Interrupts { get; init; }

    /// <summary>
    /// Size of the guest's memory in bytes, from address 0 on. On the nested path the plugin answers no RPCIT by itself that is about other
    /// pages.
    /// </summary>
    internal ulong RamSize { get; init; }

    /// <summary>Writes down every call of the function; RPCITs are told one by one then, also on the nested path. Null for none.</summary>
    internal TapRecorder? Recorder { get; init; }

    /// <summary>How long a caller waits for the tap's thread. He may serve a guest.</summary>
    internal TimeSpan CommandTime { get; init; } = TimeSpan.FromSeconds(20);

    private readonly Action<string>? _log;

    /// <summary>One line for people, for each thing that happens.</summary>
    public Action<string>? Log
    {
        get => _log;
        init => _log = LogSink.Contain(value);
    }
}
