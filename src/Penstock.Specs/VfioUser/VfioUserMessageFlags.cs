namespace Penstock.Specs.VfioUser;

/// <summary>Flags of the message header (vfio-user, "Header").</summary>
[Flags]
public enum VfioUserMessageFlags : uint
{
    /// <summary>A command that wants a reply.</summary>
    Command = 0,

    /// <summary>A reply.</summary>
    Reply = 1,

    /// <summary>The bits that hold the type.</summary>
    TypeMask = 0xf,

    /// <summary>The sender wants no reply, not even an error.</summary>
    NoReply = 0x10,

    /// <summary>An error reply; the header's errno says which.</summary>
    Error = 0x20,
}
