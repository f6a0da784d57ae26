namespace Penstock.Hypervisor;

/// <summary>The memory that is shared with the plugin. <c>penstock-tap.c</c> is its other description and has to agree with this one.</summary>
internal static class TapLayout
{
    /// <summary>"1PENSTAP" from the lowest byte up.</summary>
    public const ulong Magic = 0x5041_5453_4e45_5031;

    /// <summary>Raised with every change of this layout.</summary>
    public const uint Version = 4;

    public const int SlotCount = 64;
    public const int FunctionCount = 16;
    public const int RingCount = 1024;

    public const int MagicOffset = 0;
    public const int VersionOffset = 8;
    public const int SlotsOffset = 12;
    public const int SizeOffset = 16;
    public const int OwnerOffset = 24;
    public const int FlagsOffset = 28;
    public const int HeartbeatOffset = 32;
    public const int BellOffset = 40;
    public const int ServerSleepsOffset = 44;
    public const int AttachedOffset = 48;
    public const int GivenUpOffset = 52;
    public const int ProcessorsOffset = 56;

    /// <summary>This process's number.</summary>
    public const int ProcessOffset = 60;

    /// <summary>The descriptor that is this process's end of QEMU's connection, plus 1; 0 while there is none.</summary>
    public const int ConnectionOffset = 64;

    /// <summary>Whether the plugin has that end too: 0 when it has not looked yet, <see cref="Held"/>, or another number when it could not.</summary>
    public const int HeldOffset = 68;
    public const int HeadOffset = 128;
    public const int DrainedOffset = 192;
    public const int DrainSleepersOffset = 196;
    public const int BusyOffset = 256;
    public const int FunctionsOffset = 320;

    public const int WatchedOffset = 1344;
    public const int WatchedCount = 2;
    public const int WatchedLength = 24;
    public const int WatchedSpace = 4;
    public const int WatchedFirst = 8;
    public const int WatchedLast = 16;

    /// <summary>How many of this side's threads are about to write into the guest's memory, or do so.</summary>
    public const int InGuestOffset = 1408;

    public const int FunctionLength = 64;
    public const int FunctionMode = 4;
    public const int FunctionFirst = 8;
    public const int FunctionLast = 16;
    public const int FunctionAnswered = 24;
    public const int FunctionIota = 32;
    public const int FunctionMemory = 40;

    public const int RingOffset = 4096;
    public const int LineLength = 32;
    public const int LineRange = 8;
    public const int LineHandle = 16;
    public const int LineSequence = 20;

    public const int SlotOffset = RingOffset + (RingCount * LineLength);
    public const int SlotLength = 16384;
    public const int SlotSleeping = 4;
    public const int SlotKind = 8;
    public const int SlotR1 = 16;
    public const int SlotStart = 24;
    public const int SlotRange = 32;
    public const int SlotR1After = 40;
    public const int SlotConditionCode = 48;
    public const int SlotDataLength = 52;
    public const int SlotAction = 56;
    public const int SlotAnswerConditionCode = 60;
    public const int SlotAnswerR1 = 64;
    public const int SlotData = 128;

    public const int Size = SlotOffset + (SlotCount * SlotLength);

    /// <summary>The longest block of an instruction: request and response of a CLP.</summary>
    public const int LongestData = 8192;

    /// <summary>Flag: every RPCIT is told, and its result.</summary>
    public const uint TellRpcit = 1;

    /// <summary>The plugin has QEMU's connection.</summary>
    public const uint Held = 1;
}
