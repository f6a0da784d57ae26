namespace Penstock.Lab;

/// <summary>
/// What a guest does after its script. The script itself may decide otherwise by writing <c>poweroff</c>, <c>reboot</c>,
/// <c>stay</c> or <c>shell</c> to <c>/run/penstock-ending</c>.
/// </summary>
public enum GuestEnding
{
    /// <summary>Powers off, which ends QEMU.</summary>
    PowerOff,

    /// <summary>
    /// Restarts. With <see cref="GuestConfiguration.AllowReboot"/> the guest boots again into the same script; without it, QEMU ends.
    /// </summary>
    Reboot,

    /// <summary>Runs on until it is reset or killed through <see cref="Guest"/>, or its time is over.</summary>
    Stay,

    /// <summary>Starts a shell on the console, for <see cref="Guest.SendLineAsync"/> or a person; its end powers off.</summary>
    Shell,
}
