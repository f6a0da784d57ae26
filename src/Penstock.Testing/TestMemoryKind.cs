namespace Penstock.Testing;

/// <summary>How a device reaches memory of a user. A model that works with one kind may fail with another.</summary>
public enum TestMemoryKind
{
    /// <summary>Directly: a model may borrow it. What a VMM that shares its memory offers.</summary>
    Direct,

    /// <summary>By copies that this process makes: nothing can be borrowed. What a server offers its models for memory that it does not trust.</summary>
    Copied,

    /// <summary>By messages to the user, which take time and are refused inside register calls. What a VMM without shared memory offers.</summary>
    Message,
}
