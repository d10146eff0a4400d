/* SPDX-License-Identifier: MIT */
/* The virtio-mmio registers: offsets, widths, directions and values. */
#include "tests/unit/mmio_driver.h"

/* ---- The table of the standard (4.2.2) ---------------------------------- */

struct expectation {
    const char *name;
    uint32_t offset;
    bool read, write;
    uint32_t reset; /* what it reads as after a reset */
};

static const struct expectation registers[] = {
    {"MagicValue", 0x000, true, false, 0x74726976},
    {"Version", 0x004, true, false, 2},
    {"DeviceID", 0x008, true, false, TYPE},
    {"VendorID", 0x00c, true, false, 0x594c464d},
    {"DeviceFeatures", 0x010, true, false, 0x30000012},
    {"DeviceFeaturesSel", 0x014, false, true, 0},
    {"DriverFeatures", 0x020, false, true, 0},
    {"DriverFeaturesSel", 0x024, false, true, 0},
    {"QueueSel", 0x030, false, true, 0},
    {"QueueNumMax", 0x034, true, false, SIZE},
    {"QueueNum", 0x038, false, true, 0},
    {"QueueReady", 0x044, true, true, 0},
    {"QueueNotify", 0x050, false, true, 0},
    {"InterruptStatus", 0x060, true, false, 0},
    {"InterruptACK", 0x064, false, true, 0},
    {"Status", 0x070, true, true, 0},
    {"QueueDescLow", 0x080, false, true, 0},
    {"QueueDescHigh", 0x084, false, true, 0},
    {"QueueDriverLow", 0x090, false, true, 0},
    {"QueueDriverHigh", 0x094, false, true, 0},
    {"QueueDeviceLow", 0x0a0, false, true, 0},
    {"QueueDeviceHigh", 0x0a4, false, true, 0},
    {"SHMSel", 0x0ac, false, true, 0},
    {"SHMLenLow", 0x0b0, true, false, UINT32_MAX},
    {"SHMLenHigh", 0x0b4, true, false, UINT32_MAX},
    {"SHMBaseLow", 0x0b8, true, false, UINT32_MAX},
    {"SHMBaseHigh", 0x0bc, true, false, UINT32_MAX},
    {"QueueReset", 0x0c0, true, true, 0}, /* RING_RESET is not offered */
    {"ConfigGeneration", 0x0fc, true, false, 0},
};

static const struct expectation *expectation_at(uint32_t offset)
{
    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
        if (registers[i].offset == offset)
            return &registers[i];
    return NULL;
}

Test(mmio, shows_each_register_at_its_place_and_nothing_between, .init = set_up)
{
    for (uint32_t offset = 0; offset < 0x100; offset += 4) {
        const struct expectation *e = expectation_at(offset);
        uint32_t expected = e && e->read ? e->reset : 0;

        cr_assert_eq(get(offset), expected, "%s at %#x",
                     e ? e->name : "nothing", offset);
    }
}

/* All that a driver can see or has set, in one place. */
struct snapshot {
    struct vdev dev;
    struct mmio mmio;
    uint8_t config[sizeof(config)];
};

static struct snapshot take_snapshot(void)
{
    struct snapshot now;

    memset(&now, 0, sizeof(now));
    memcpy(&now.dev, &dev, sizeof(dev));
    memcpy(&now.mmio, &mmio, sizeof(mmio));
    memcpy(now.config, config, sizeof(config));
    return now;
}

static void assert_nothing_changed(const struct snapshot *before, uint64_t at,
                                   unsigned bytes)
{
    struct snapshot after = take_snapshot();

    cr_assert_eq(memcmp(before, &after, sizeof(after)), 0,
                 "%u bytes written at %#lx", bytes, at);
}

Test(mmio, ignores_writes_to_what_cannot_be_written, .init = set_up)
{
    const struct snapshot before = take_snapshot();

    for (uint32_t offset = 0; offset < 0x100; offset += 4) {
        const struct expectation *e = expectation_at(offset);

        if (e && e->write)
            continue;
        put(offset, 0);
        put(offset, 1);
        put(offset, UINT32_MAX);
        assert_nothing_changed(&before, offset, 4);
    }
    put(REG(SHM_SEL), 1);
    put(0x0c0, 1);
    assert_nothing_changed(&before, 0x0c0, 4);
}

Test(mmio, takes_control_registers_as_32_aligned_bits_only, .init = set_up)
{
    const uint8_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    uint8_t data[8];

    go_live();
    vdev_config_changed(&dev);
    const struct snapshot before = take_snapshot();
    for (uint64_t offset = 0; offset < 0x100; offset++)
        for (unsigned bytes = 1; bytes <= 8; bytes++) {
            if (bytes == 4 && offset % 4 == 0)
                continue;
            memset(data, 0xee, sizeof(data));
            mmio_read(&mmio, offset, data, bytes);
            for (unsigned i = 0; i < 8; i++)
                cr_assert_eq(data[i], i < bytes ? 0 : 0xee, "%u bytes at %#lx",
                             bytes, offset);
            cr_assert_eq(mmio_write(&mmio, offset, ones, bytes), 0);
            assert_nothing_changed(&before, offset, bytes);
        }
}

Test(mmio, needs_the_lock_for_all_but_interrupts_and_notifications,
     .init = set_up)
{
    for (uint64_t offset = 0; offset < 0x200; offset++)
        cr_assert_eq(mmio_needs_lock(offset),
                     offset != 0x050 && offset != 0x060 && offset != 0x064,
                     "%#lx", offset);
}

Test(mmio, is_a_placeholder_without_a_device)
{
    const uint64_t garbage = UINT64_MAX;

    mmio_init(&mmio, NULL);
    cr_assert_eq(get(REG(MAGIC_VALUE)), 0x74726976);
    cr_assert_eq(get(REG(VERSION)), 2);
    cr_assert_eq(get(REG(DEVICE_ID)), 0);
    cr_assert_eq(get(REG(VENDOR_ID)), MMIO_VENDOR);
    for (uint64_t offset = 0x010; offset < 0x140; offset += 4) {
        cr_assert_eq(get(offset), 0);
        put(offset, 1);
        cr_assert_eq(mmio_write(&mmio, offset, &garbage, 8), 0);
    }
}

/* ---- Features ----------------------------------------------------------- */

Test(mmio_features, come_in_words_of_32_bits_and_end_after_two, .init = set_up)
{
    put(REG(DEVICE_FEATURES_SEL), 0);
    cr_assert_eq(get(REG(DEVICE_FEATURES)), (uint32_t)dev.offered);
    put(REG(DEVICE_FEATURES_SEL), 1);
    cr_assert_eq(get(REG(DEVICE_FEATURES)), 1u << 18 | 1);
    put(REG(DEVICE_FEATURES_SEL), 2);
    cr_assert_eq(get(REG(DEVICE_FEATURES)), 0);
    put(REG(DEVICE_FEATURES_SEL), UINT32_MAX);
    cr_assert_eq(get(REG(DEVICE_FEATURES)), 0);
}

Test(mmio_features, are_set_word_by_word_and_may_be_set_again, .init = set_up)
{
    accept_features(VERSION_1 | FEATURES);
    cr_assert_eq(dev.features, VERSION_1 | FEATURES);
    put(REG(DRIVER_FEATURES_SEL), 0);
    put(REG(DRIVER_FEATURES), 2);
    cr_assert_eq(dev.features, VERSION_1 | UINT64_C(1) << 50 | 2);
}

static void assert_agreement(uint64_t features, bool agreed)
{
    put_status(0);
    put_status(STATUS(ACKNOWLEDGE) | STATUS(DRIVER));
    accept_features(features);
    put_status(STATUS(ACKNOWLEDGE) | STATUS(DRIVER) | STATUS(FEATURES_OK));
    cr_assert_eq(get(REG(STATUS)), STATUS(ACKNOWLEDGE) | STATUS(DRIVER) |
                                       (agreed ? STATUS(FEATURES_OK) : 0));
}

Test(mmio_features, are_agreed_for_any_offered_ones_with_VERSION_1,
     .init = set_up)
{
    assert_agreement(VERSION_1, true);
    assert_agreement(VERSION_1 | 2, true);
    assert_agreement(dev.offered, true);
}

Test(mmio_features, are_refused_with_each_bit_that_is_not_offered,
     .init = set_up)
{
    for (unsigned bit = 0; bit < 64; bit++)
        assert_agreement(VERSION_1 | UINT64_C(1) << bit,
                         dev.offered >> bit & 1);
}

Test(mmio_features, are_refused_without_VERSION_1, .init = set_up)
{
    assert_agreement(FEATURES, false);
    assert_agreement(0, false);
}

Test(mmio_features, are_refused_above_bit_63_until_the_next_reset,
     .init = set_up)
{
    put_status(STATUS(ACKNOWLEDGE) | STATUS(DRIVER));
    accept_features(VERSION_1);
    put(REG(DRIVER_FEATURES_SEL), 2);
    put(REG(DRIVER_FEATURES), 1);
    put_status(STATUS(FEATURES_OK));
    cr_assert_eq(get(REG(STATUS)), STATUS(ACKNOWLEDGE) | STATUS(DRIVER));
    cr_assert_eq(resets, 0, "a refused bit alone is not a reset");
    assert_agreement(VERSION_1, true);
}

Test(mmio_features, may_be_none_above_bit_63, .init = set_up)
{
    put(REG(DRIVER_FEATURES_SEL), 2);
    put(REG(DRIVER_FEATURES), 0);
    put(REG(DRIVER_FEATURES_SEL), UINT32_MAX);
    put(REG(DRIVER_FEATURES), 0);
    accept_features(VERSION_1);
    put_status(STATUS(FEATURES_OK));
    cr_assert_eq(get(REG(STATUS)), STATUS(FEATURES_OK));
}

Test(mmio_features, stay_as_they_are_once_agreed, .init = set_up)
{
    agree();
    accept_features(VERSION_1 | FEATURES);
    put(REG(DRIVER_FEATURES_SEL), 2);
    put(REG(DRIVER_FEATURES), 1);
    put_status(get(REG(STATUS)) | STATUS(DRIVER_OK));
    cr_assert_eq(dev.features, VERSION_1);
    cr_assert(get(REG(STATUS)) & STATUS(FEATURES_OK));
    cr_assert(vdev_is_live(&dev));
}

/* ---- The configuration space --------------------------------------------- */

Test(mmio_config, is_read_in_1_2_4_and_8_bytes, .init = set_up)
{
    uint64_t value = 0;

    for (unsigned bytes = 1; bytes <= 8; bytes *= 2)
        for (unsigned at = 0; at < sizeof(config); at += bytes) {
            mmio_read(&mmio, 0x100 + at, &value, bytes);
            cr_assert_eq(memcmp(&value, config + at, bytes), 0);
        }
}

Test(mmio_config, reads_0_past_its_end_and_where_misaligned, .init = set_up)
{
    const struct {
        uint64_t offset;
        unsigned bytes;
    } nothing[] = {
        {0x108, 1},          {0x108, 8}, {0xff8, 8}, {UINT64_MAX - 7, 8},
        {0x101, 2},          {0x102, 4}, {0x104, 8}, {0x100, 3},
        {0x100, 7},          {0x102, 3}, {0x104, 5}, {0x102, 6},
        {UINT64_MAX - 3, 4},
    };
    uint64_t value;

    for (unsigned i = 0; i < ARRAY_SIZE(nothing); i++) {
        const struct snapshot before = take_snapshot();

        value = 0;
        memset(&value, 0xee, nothing[i].bytes);
        mmio_read(&mmio, nothing[i].offset, &value, nothing[i].bytes);
        cr_assert_eq(value, 0, "%#lx", nothing[i].offset);
        cr_assert_eq(
            mmio_write(&mmio, nothing[i].offset, &value, nothing[i].bytes), 0);
        assert_nothing_changed(&before, nothing[i].offset, nothing[i].bytes);
    }
    cr_assert_eq(config_writes, 0);
}

Test(mmio_config, reads_in_part_where_it_ends_inside_the_access, .init = set_up)
{
    static const struct vdev_class odd = {
        .name = "odd", .config_bytes = 5, .reset = forget_chain};
    uint64_t value = UINT64_MAX;

    vdev_init(&dev, &odd, 0, config);
    mmio_read(&mmio, 0x100, &value, 8);
    cr_assert_eq(value, 0x0504030201);
}

Test(mmio_config, is_written_by_a_device_that_has_something_to_write,
     .init = set_up)
{
    const uint16_t value = 0xaabb;

    cr_assert_eq(mmio_write(&mmio, 0x102, &value, 2), 0);
    cr_assert_eq(config_writes, 1);
    cr_assert_eq(memcmp(config, "\1\2\xbb\xaa\5", 5), 0);
}

Test(mmio_config, can_be_read_before_FEATURES_OK, .init = set_up)
{
    cr_assert_eq(get(REG(STATUS)), 0);
    cr_assert_eq(get(0x100), 0x04030201);
    put_status(STATUS(ACKNOWLEDGE) | STATUS(DRIVER));
    cr_assert_eq(get(0x104), 0x08070605);
}

Test(mmio_config, has_another_generation_after_each_change, .init = set_up)
{
    uint32_t first = get(REG(CONFIG_GENERATION));

    cr_assert_eq(get(REG(CONFIG_GENERATION)), first);
    config[0] = 9;
    vdev_config_changed(&dev);
    uint32_t second = get(REG(CONFIG_GENERATION));
    cr_assert_neq(second, first);
    vdev_config_changed(&dev);
    cr_assert_neq(get(REG(CONFIG_GENERATION)), second);
    cr_assert_neq(get(REG(CONFIG_GENERATION)), first);
}

Test(mmio_config, keeps_its_generation_over_a_reset, .init = set_up)
{
    vdev_config_changed(&dev);
    put_status(0);
    cr_assert_eq(get(REG(CONFIG_GENERATION)), 1);
}
